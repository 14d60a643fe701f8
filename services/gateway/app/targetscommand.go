package app

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/target/trial"
)

// maxAlertsFile bounds a file of alerts, in bytes.
const maxAlertsFile = 64 << 20

// TargetsCommand is the command that tries target rules. Its flags can also be set
// by environment variables with the prefix.
func TargetsCommand(prefix string) *cobra.Command {
	root := cli.Group(&cobra.Command{Use: "targets", Short: "Find out which objects alerts are about"})
	var rules, alerts string
	test := &cobra.Command{
		Use:   "test",
		Short: "Print the target of each alert of a file, and the rule that names it",
		Long: `Print the target of each alert of a file, and the rule that names it.

The file of alerts is the body of an Alertmanager webhook, or a list of alerts. An
alert of either may have the objects of its cluster (cluster_objects) and the target
that is expected (target, also_ok). Without objects, rules that ask about the cluster
learn nothing. Fails if a target is not the expected one, or a rule cannot be evaluated.`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return testTargets(c, rules, alerts) },
	}
	var flags cli.Flags
	flags.String(&rules, "rules", "", "file of target rules, tried before the built-in ones; none: the built-in ones only")
	flags.String(&alerts, "alerts", "", "file of alerts", cli.Required("a file of alerts"))
	flags.AddTo(test.Flags())
	cli.Configure(test, prefix)
	root.AddCommand(test)
	return root
}

func testTargets(c *cobra.Command, rulesFile, alertsFile string) error {
	set, err := readRules("rules", rulesFile)
	if err != nil {
		return err
	}
	alerts, err := readAlerts(alertsFile)
	if err != nil {
		return cli.Usagef("--alerts: %w", err)
	}
	results, err := trial.Run(c.Context(), set, alerts)
	if err != nil {
		return cli.Usagef("--alerts %s: %w", alertsFile, err)
	}
	if failed := printTargets(c.OutOrStdout(), results); failed > 0 {
		return fmt.Errorf("%d of %d alerts do not have the expected target", failed, len(results)) //nolint:err113 // for people
	}
	return nil
}

func readAlerts(file string) ([]trial.Alert, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxAlertsFile+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if len(content) > maxAlertsFile {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxAlertsFile) //nolint:err113 // for people
	}
	alerts, err := trial.Read(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return alerts, nil
}

// printTargets prints a table and returns how many alerts failed.
func printTargets(out io.Writer, results []trial.Result) int {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ALERT\tRULE\tTARGET\tNOTE")
	failed := 0
	for i := range results {
		r := &results[i]
		var notes []string
		if r.Verdict != trial.Right && r.Verdict != trial.Unjudged {
			notes = append(notes, fmt.Sprintf("%s: want %s", r.Verdict, describe(*r.Alert.Target)))
		}
		for _, f := range r.Failures {
			notes = append(notes, fmt.Sprintf("rule %s: %v", f.Rule, f.Err))
		}
		if len(notes) > 0 {
			failed++
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable.Line(r.Name), r.Rule, printable.Line(describe(r.Resolution.Target)), printable.Line(strings.Join(notes, "; ")))
	}
	_ = table.Flush()
	return failed
}

// describe names an object for people.
func describe(t v1alpha1.TargetResource) string {
	if t.Kind == target.KindUnknown {
		return t.Kind
	}
	name := t.Name
	if t.Namespace != "" {
		name = t.Namespace + "/" + name
	}
	if t.APIVersion != "" {
		return t.Kind + " " + name + " (" + t.APIVersion + ")"
	}
	return t.Kind + " " + name
}
