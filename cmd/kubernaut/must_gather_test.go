package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
)

// kubectl is a program that knows no cluster.
const kubectl = "#!/bin/sh\necho 'The connection to the server was refused' >&2\nexit 1\n"

func runMustGather(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := command()
	var out, complaints bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&complaints)
	code = cli.Execute(context.WithoutCancel(t.Context()), root, append([]string{"must-gather"}, args...), &complaints)
	return code, out.String(), complaints.String()
}

func TestMustGatherPassesItsFlagsOn(t *testing.T) {
	code, out, _ := runMustGather(t, "--help")
	if code != cli.ExitOK || !strings.Contains(out, "Usage: kubernaut must-gather [flags]") {
		t.Errorf("--help: code %d, output %q", code, out)
	}
	code, _, complaints := runMustGather(t, "--since", "soon")
	if code != cli.ExitUsage || !strings.Contains(complaints, "--since soon: not a duration; use for example 30m or 1h30m (see kubernaut must-gather --help)") {
		t.Errorf("unusable flag: code %d, output %q", code, complaints)
	}
	if strings.Count(complaints, "\n") != 1 {
		t.Errorf("unusable flag: more than one line: %q", complaints)
	}
	code, _, complaints = runMustGather(t, "extra")
	if code != cli.ExitUsage || !strings.Contains(complaints, "extra: unexpected argument") {
		t.Errorf("argument: code %d, output %q", code, complaints)
	}
}

func TestMustGatherLeavesAnArchiveOfAClusterThatIsAway(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "kubectl")
	if err := os.WriteFile(program, []byte(kubectl), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECTL", program)
	code, out, complaints := runMustGather(t, "--dest", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	archive := lines[len(lines)-1]
	if code != cli.ExitOK || !strings.HasSuffix(archive, ".tar.gz") {
		t.Fatalf("code %d, output %q, %q", code, out, complaints)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Error(err)
	}
	missed, err := os.ReadFile(filepath.Join(strings.TrimSuffix(archive, ".tar.gz"), "not-collected.txt"))
	if err != nil || !strings.Contains(string(missed), "The connection to the server was refused") {
		t.Errorf("not-collected.txt: %q, %v", missed, err)
	}
}

func TestMustGatherNamesWhatIsMissing(t *testing.T) {
	t.Setenv("KUBECTL", "no-such-kubectl")
	code, _, complaints := runMustGather(t, "--dest", t.TempDir())
	if code != cli.ExitFailed || !strings.Contains(complaints, "no-such-kubectl is missing: install it, or set KUBECTL") {
		t.Errorf("without kubectl: code %d, output %q", code, complaints)
	}
	t.Setenv("PATH", t.TempDir())
	code, _, complaints = runMustGather(t)
	if code != cli.ExitFailed || !strings.Contains(complaints, "bash is required") {
		t.Errorf("without bash: code %d, output %q", code, complaints)
	}
}
