package auth

import (
	"maps"
	"slices"
)

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
	return slices.Compact(slices.Sorted(maps.Values(t.callers)))
}
