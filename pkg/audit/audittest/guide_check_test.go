package audittest_test

import (
	"os"
	"strings"
	"testing"
)

// What docs/testing-with-audittest.md shows is what guide_test.go compiles and
// runs, except for the section about Gomega: this module does not depend on it,
// and package trailtest of the root module checks the section.
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
	before, section, found := strings.Cut(string(page), "\n## With Gomega\n")
	if !found {
		t.Fatal("the guide has no section about Gomega")
	}
	_, after, _ := strings.Cut(section, "\n## ")
	blocks := strings.Split(before, "```go\n")[1:]
	blocks = append(blocks, strings.Split(after, "```go\n")[1:]...)
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
