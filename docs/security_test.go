package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/rights"
)

const securityPage = "security.md"

// The tables are between these lines.
const (
	tableBegin       = "<!-- table of rights: make security-table -->\n"
	tableEnd         = "<!-- end of the table of rights -->\n"
	remediationBegin = "<!-- table of rights in remediation: make security-table -->\n"
	remediationEnd   = "<!-- end of the table of rights in remediation -->\n"
)

func TestTheTableOfRightsIsTheOneThatSpecsTry(t *testing.T) {
	compareTable(t, tableBegin, tableEnd, rights.Table())
	remediation, err := rights.RemediationTable()
	if err != nil {
		t.Fatal(err)
	}
	compareTable(t, remediationBegin, remediationEnd, remediation)
}

// compareTable compares the table between two lines of the page, or writes it.
func compareTable(t *testing.T, begin, end, want string) {
	t.Helper()
	text := read(t, securityPage)
	before, rest, begun := strings.Cut(string(text), begin)
	table, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", securityPage, begin, end)
	}
	want = "\n" + want + "\n"
	if *write {
		if err := os.WriteFile(securityPage, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table in %s differs from package test/rights: run `make security-table`", securityPage)
	}
}

// A call without a row fails: nobody would have thought about who may use it.
func TestEveryCallHasARow(t *testing.T) {
	for server, found := range map[string][]string{
		rights.DataStorage: append(documented(t, datastorage.Document), "GET /health", "GET /health/live", "GET /health/ready"),
		rights.APIServer:   documented(t, read(t, "../services/datastorage/internal/aggregated/openapi.yaml")),
		rights.Gateway:     webhooks(t),
		rights.Management:  patterns(t, "../internal/httpserver/management.go"),
		rights.Control:     controls(t),
	} {
		rows := rights.Calls(server)
		slices.Sort(rows)
		slices.Sort(found)
		if !slices.Equal(rows, found) {
			t.Errorf("%s answers\n%q\nand the table has\n%q: change package test/rights, and run `make security-table`", server, found, rows)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// documented returns the calls of an OpenAPI document.
func documented(t *testing.T, document []byte) []string {
	t.Helper()
	var parsed struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := yaml.Unmarshal(document, &parsed); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for path, methods := range parsed.Paths {
		for method := range methods {
			calls = append(calls, strings.ToUpper(method)+" "+path)
		}
	}
	return calls
}

// patterns returns the routes that a file registers with a ServeMux. Profiles are on
// another listener, which is on loopback.
func patterns(t *testing.T, path string) []string {
	t.Helper()
	calls := []string{} //nolint:prealloc // a few
	for _, match := range regexp.MustCompile(`mux\.Handle(?:Func)?\("([^"]+)"`).FindAllStringSubmatch(string(read(t, path)), -1) {
		call := match[1]
		switch {
		case strings.HasPrefix(call, "/debug/pprof"):
			continue
		case strings.HasPrefix(call, "/"): // its handler checks the method
			call = "POST " + call
		}
		calls = append(calls, call)
	}
	return calls
}

// constants returns the texts that a file declares.
func constants(t *testing.T, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, match := range regexp.MustCompile(`(\w+)\s*=\s*"(/[^"]*)"`).FindAllStringSubmatch(string(read(t, path)), -1) {
		found[match[1]] = match[2]
	}
	return found
}

func controls(t *testing.T) []string {
	t.Helper()
	paths := constants(t, "../pkg/audit/control/documents.go")
	calls := []string{} //nolint:prealloc // a few
	text := string(read(t, "../pkg/audit/control/handler.go"))
	for _, match := range regexp.MustCompile(`"([A-Z]+) " \+ (\w+)(?: \+ "([^"]*)")?:`).FindAllStringSubmatch(text, -1) {
		calls = append(calls, match[1]+" "+paths[match[2]]+match[3])
	}
	return calls
}

// webhooks returns the paths of the Gateway's adapters.
func webhooks(t *testing.T) []string {
	t.Helper()
	paths := map[string]string{}
	files, err := filepath.Glob("../services/gateway/internal/webhook/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for name, path := range constants(t, file) {
			if strings.HasPrefix(path, "/api/v1/signals/") {
				paths[name] = path
			}
		}
	}
	calls := []string{} //nolint:prealloc // a few
	for _, path := range paths {
		calls = append(calls, "POST "+path)
	}
	text := string(read(t, "../services/gateway/internal/webhook/adapters.go"))
	for _, match := range regexp.MustCompile(`\{(\w+) \+ "(/[^"]+)"`).FindAllStringSubmatch(text, -1) {
		calls = append(calls, "POST "+paths[match[1]]+match[2])
	}
	return calls
}
