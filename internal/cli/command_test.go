package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
)

// execute runs the program of the other tests, and returns its output too.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := newProgram()
	var out, complaints bytes.Buffer
	p.root.SetOut(&out)
	p.root.SetErr(&complaints)
	code = cli.Execute(t.Context(), p.root, args, &complaints)
	return code, out.String(), complaints.String()
}

func TestEveryProgramHasAVersion(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, "--version")
	if want := "program " + buildinfo.Get().String() + "\n"; code != cli.ExitOK || out != want {
		t.Errorf("exit code %d, output %q, want %q", code, out, want)
	}
}

func TestTheUsageOfAGroupNamesACommand(t *testing.T) {
	t.Parallel()
	code, _, complaints := execute(t)
	if code != cli.ExitUsage || !strings.HasPrefix(complaints, "Usage:\n  program COMMAND\n\nAvailable Commands:\n") || !strings.HasSuffix(complaints, "program: a command is missing (see program --help)\n") {
		t.Errorf("exit code %d, message %q", code, complaints)
	}
	code, out, _ := execute(t, "serve", "--help")
	if code != cli.ExitOK || !strings.Contains(out, "program serve [flags]") || !strings.Contains(out, "size of the program [$PROGRAM_SIZE] (default 1)") {
		t.Errorf("exit code %d, help %q", code, out)
	}
}

func TestShellsCompleteValues(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, "__complete", "serve", "--color", "")
	if code != cli.ExitOK || !strings.HasPrefix(out, "red\nblue\n:4\n") {
		t.Errorf("exit code %d, completions %q", code, out)
	}
}

func TestAReportedErrorIsNotPrintedAgain(t *testing.T) {
	t.Parallel()
	c := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error {
		return &cli.ReportedError{Code: 3, Err: errors.New("as the user was told")}
	}}
	var out strings.Builder
	if code := cli.Execute(t.Context(), c, nil, &out); code != 3 || out.String() != "" {
		t.Errorf("exit code %d, message %q", code, out.String())
	}
}

func TestHelpAndCompletionRejectUnknownWords(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown command "serv" for "program" (did you mean serve?)`:          {"help", "serv"},
		`unknown command "fast" for "program serve"`:                          {"help", "serve", "fast"},
		`unknown command "bsh" for "program completion" (did you mean bash?)`: {"completion", "bsh"},
		"a command is missing (see program completion --help)":                {"completion"},
	} {
		code, out, complaints := execute(t, args...)
		if code != cli.ExitUsage || out != "" || !strings.Contains(complaints, want) {
			t.Errorf("%v: exit code %d, output %q, message %q, want %q", args, code, out, complaints, want)
		}
	}
	for _, args := range [][]string{{"help"}, {"help", "serve"}, {"help", "completion", "bash"}, {"completion", "bash"}} {
		if code, out, complaints := execute(t, args...); code != cli.ExitOK || out == "" {
			t.Errorf("%v: exit code %d, output %q, message %q", args, code, out, complaints)
		}
	}
	if _, out, _ := execute(t, "completion", "--help"); !strings.Contains(out, "Usage:\n  program completion COMMAND\n") {
		t.Errorf("completion --help: %q", out)
	}
}
