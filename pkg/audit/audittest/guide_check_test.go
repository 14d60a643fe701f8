package audittest_test

import (
	"os"
	"strings"
	"testing"
)

// What docs/testing-with-audittest.md shows is what guide_test.go compiles and runs.
func TestGuideShowsCodeThatRuns(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/testing-with-audittest.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Error("the guide shows no code")
	}
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "```")
		if !closed || !strings.Contains(string(source), code) {
			t.Errorf("the guide shows what is not in guide_test.go:\n%s", code)
		}
	}
}
