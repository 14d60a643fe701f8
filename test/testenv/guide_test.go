package testenv_test

import (
	"os"
	"strings"
	"testing"
)

// What docs/testing-with-testenv.md shows are specs of the suites.
func TestGuideShowsSpecsThatRun(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, suite := range []string{"integration", "e2e"} {
		source, err := os.ReadFile("../" + suite + "/guide_test.go")
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
	}
	page, err := os.ReadFile("../../docs/testing-with-testenv.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Error("the guide shows no spec")
	}
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "```")
		if !closed || !strings.Contains(sources.String(), code) {
			t.Errorf("the guide shows what is no spec:\n%s", code)
		}
	}
}
