package auth

import "slices"

// Callers returns the names of the callers that the configuration lists, or nil
// if the guard does not know them beforehand.
func (g *Gate) Callers() []string {
	if listed, ok := g.guard.(interface{ Callers() []string }); ok {
		return listed.Callers()
	}
	return nil
}

// Callers returns the names in the file, each once.
func (t *TokenFile) Callers() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.callers))
	for _, caller := range t.callers {
		names = append(names, caller.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
