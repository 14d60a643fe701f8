package auth

import "context"

// Callers returns the names of the callers that the configuration lists, or nil
// if the guard does not know them beforehand.
func (g *Gate) Callers() []string {
	if listed, ok := g.guard.(interface{ Callers() []string }); ok {
		return listed.Callers()
	}
	return nil
}

// Holds reports whether the caller of a name, who recorded something, has a
// permission now. It is unknown if the guard cannot tell.
func (g *Gate) Holds(ctx context.Context, name string, action Action) (holds, known bool, err error) {
	holder, ok := g.guard.(Holder)
	if !ok {
		return false, false, nil
	}
	return holder.Holds(ctx, name, action) //nolint:wrapcheck // an interface of this package
}
