package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
)

func copyBuiltIn(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "internal", "policy", "builtin"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runPolicyTest(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	root := command()
	root.SetOut(&out)
	code = cli.Execute(t.Context(), root, append([]string{"policy", "test"}, args...), &out)
	return code, out.String()
}

func TestPolicyTestAcceptsTheBuiltInPolicies(t *testing.T) {
	t.Parallel()
	code, output := runPolicyTest(t, copyBuiltIn(t))
	if code != cli.ExitOK || !strings.Contains(output, " failed 0\nusable, sha256 ") || !strings.Contains(output, "ok   data.kubernaut.severity_test.") {
		t.Errorf("exit code %d, printed:\n%s", code, output)
	}
}

func TestPolicyTestNamesWhatFails(t *testing.T) {
	t.Parallel()
	failing := copyBuiltIn(t)
	write(t, failing, "own_test.rego", "package own_test\ntest_nothing if 1 == 2\n")
	missing := copyBuiltIn(t)
	for _, name := range []string{"priority.rego", "priority_test.rego"} {
		if err := os.Remove(filepath.Join(missing, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a failing test":     {[]string{failing}, cli.ExitFailed, "FAIL data.own_test.test_nothing (own_test.rego:2)"},
		"a missing decision": {[]string{missing}, cli.ExitFailed, "define no data.kubernaut.priority.decision"},
		"no directory":       {[]string{filepath.Join(missing, "nothing")}, cli.ExitFailed, "nothing: no such file or directory"},
		"no argument":        {nil, cli.ExitUsage, "want one directory, got 0 arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, output := runPolicyTest(t, test.args...); code != test.code || !strings.Contains(output, test.want) {
				t.Errorf("exit code %d, printed:\n%s\nwant %d and %q", code, output, test.code, test.want)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
