package policy

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func TestAllowedFunctionsExistAndDependOnTheirArgumentsOnly(t *testing.T) {
	t.Parallel()
	known := map[string]*ast.Builtin{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		known[b.Name] = b
	}
	seen := map[string]bool{}
	for _, name := range allowed {
		switch b := known[name]; {
		case b == nil:
			t.Errorf("%s is no built-in function of this version of OPA", name)
		case b.IsNondeterministic():
			t.Errorf("%s is not deterministic", name)
		case b.IsDeprecated():
			t.Errorf("%s is deprecated", name)
		case seen[name]:
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
	}
	for name := range known {
		if !seen[name] {
			t.Logf("not allowed: %s", name)
		}
	}
}
