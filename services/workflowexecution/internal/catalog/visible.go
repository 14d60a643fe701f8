package catalog

import (
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// lastApplied is kubectl's copy of the object in an annotation.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// hiddenFields of containers are often secrets. No condition sees them, wherever they are in an object.
var hiddenFields = []string{"args", "command", "env", "httpHeaders"}

// Visible is the part of an object that conditions see: without managed fields, kubectl's copy,
// and the fields of containers that may contain secrets.
func Visible(object *unstructured.Unstructured) map[string]any {
	if object == nil || object.Object == nil {
		return map[string]any{}
	}
	seen := runtime.DeepCopyJSON(object.Object)
	unstructured.RemoveNestedField(seen, "metadata", "managedFields")
	unstructured.RemoveNestedField(seen, "metadata", "annotations", lastApplied)
	if annotations, found, _ := unstructured.NestedMap(seen, "metadata", "annotations"); found && len(annotations) == 0 {
		unstructured.RemoveNestedField(seen, "metadata", "annotations")
	}
	hide(seen)
	return seen
}

// hide removes hidden fields in place. They are lists in containers, and in their hooks and probes.
func hide(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if _, list := inner.([]any); list && slices.Contains(hiddenFields, name) {
				delete(value, name)
				continue
			}
			hide(inner)
		}
	case []any:
		for _, inner := range value {
			hide(inner)
		}
	}
}

// Before is what a condition needs of the target before the execution: the fields that the
// expression selects from `before`, out of what conditions see. It is empty if the expression
// selects none.
func (c *Condition) Before(target *unstructured.Unstructured) map[string]any {
	seen, kept := Visible(target), map[string]any{}
	for _, path := range c.before {
		keep(seen, kept, path)
	}
	return kept
}

// keep copies the value at a path. Maps on the way are there if they are in the source, so that
// has() answers as it would for the source.
func keep(from, to map[string]any, path []string) {
	for i, field := range path {
		value, found := from[field]
		if !found {
			return
		}
		inner, isMap := value.(map[string]any)
		if i == len(path)-1 || !isMap {
			to[field] = value
			return
		}
		next, _ := to[field].(map[string]any)
		if next == nil {
			next = map[string]any{}
			to[field] = next
		}
		from, to = inner, next
	}
	maps.Copy(to, from) // `before` as a whole
}

// selected returns the paths that an expression selects from a variable, the longest first: a
// shorter one then replaces what a longer one has kept.
func selected(compiled *cel.Ast, variable string) [][]string {
	var paths [][]string
	for _, ident := range celast.MatchDescendants(celast.NavigateAST(compiled.NativeRep()), celast.KindMatcher(celast.IdentKind)) {
		if ident.AsIdent() != variable {
			continue
		}
		path := []string{}
		for parent, ok := ident.Parent(); ok && parent.Kind() == celast.SelectKind; parent, ok = parent.Parent() {
			path = append(path, parent.AsSelect().FieldName())
		}
		paths = append(paths, path)
	}
	slices.SortStableFunc(paths, func(a, b []string) int { return len(b) - len(a) })
	return paths
}
