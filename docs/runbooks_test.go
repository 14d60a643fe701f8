package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rules are what we read of the PrometheusRule.
type rules struct {
	Spec struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
}

// Each alert names the section of a page that says what to do, with commands.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "kustomize", "components", "monitoring", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, group := range r.Spec.Groups {
		for _, rule := range group.Rules {
			alerts++
			page, anchor, _ := strings.Cut(strings.TrimPrefix(rule.Annotations["runbook_url"], "docs/"), "#")
			section, ok := sections(t, page)[anchor]
			switch {
			case !ok:
				t.Errorf("%s: no section for runbook_url %q", rule.Alert, rule.Annotations["runbook_url"])
			case !strings.Contains(section, "```") && !strings.Contains(section, "`kubectl"):
				t.Errorf("%s: the section %q has no command", rule.Alert, anchor)
			}
		}
	}
	if alerts == 0 {
		t.Error("found no alert")
	}
}

var (
	heading     = regexp.MustCompile(`(?m)^##+ (.+)$`)
	punctuation = regexp.MustCompile(`[^a-z0-9_ -]`)
)

// sections are the texts below a page's headings, by the anchors that GitHub gives them.
func sections(t *testing.T, page string) map[string]string {
	t.Helper()
	if page == "" {
		return nil
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	at := heading.FindAllSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		anchor := punctuation.ReplaceAllString(strings.ToLower(string(text[m[2]:m[3]])), "")
		found[strings.ReplaceAll(anchor, " ", "-")] = string(text[m[1]:end])
	}
	return found
}
