package classify_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
)

// The policies' own tests, as "opa test" would run them.
func TestPolicies(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(os.DirFS("policies"), "*.rego")
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]*ast.Module{}
	for _, name := range names {
		text, err := fs.ReadFile(os.DirFS("policies"), name)
		if err != nil {
			t.Fatal(err)
		}
		if modules[name], err = ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{RegoVersion: ast.RegoV1}); err != nil {
			t.Fatal(err)
		}
	}
	results, err := tester.NewRunner().SetModules(modules).CapturePrintOutput(true).RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]int{}
	for result := range results {
		switch {
		case result.Error != nil:
			t.Errorf("%s.%s: %v", result.Package, result.Name, result.Error)
		case !result.Pass():
			t.Errorf("%s.%s at %s failed: %s", result.Package, result.Name, result.Location, result.Output)
		default:
			passed[result.Package]++
		}
	}
	for _, name := range []string{"severity", "environment", "priority", "business"} {
		if passed["data.kubernaut."+name+"_test"] == 0 {
			t.Errorf("no test of the %s policy ran", name)
		}
	}
}
