package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"kubernaut.ai/internal/lifecycle"
)

func TestHelpIsWrappedAndGrouped(t *testing.T) {
	t.Parallel()
	var a, b, c, other string
	root := Group(&cobra.Command{Use: "program", Short: "A program"})
	root.AddCommand(Serve("PROGRAM", "Serve", func(set *pflag.FlagSet) {
		var f Flags
		f.String(&a, "database-url", "", strings.Repeat("words about it ", 20))
		f.String(&b, "database-user", "", "who")
		f.String(&c, "database-name", "", "which")
		f.String(&other, "other", "", "something else")
		f.AddTo(set)
	}, func(*zap.Logger) (lifecycle.App, error) { return nil, nil })) //nolint:nilnil // never called
	var out, complaints bytes.Buffer
	root.SetOut(&out)
	if code := Execute(t.Context(), root, []string{"serve", "--help"}, &complaints); code != ExitOK {
		t.Fatalf("exit code %d, %s", code, complaints.String())
	}
	help := out.String()
	for line := range strings.Lines(help) {
		if len(line) > widest+1 {
			t.Errorf("a line of %d columns: %q", len(line), line)
		}
	}
	group := strings.Index(help, "\nFlags (database):\n")
	for text, after := range map[string]bool{"--database-url": true, "--database-user": true, "--other": false, "--log-level": false, "Examples:\n  program serve --config": false} {
		if at := strings.Index(help, text); at < 0 || (at > group) != after {
			t.Errorf("%q at %d, the group at %d in:\n%s", text, at, group, help)
		}
	}
}
