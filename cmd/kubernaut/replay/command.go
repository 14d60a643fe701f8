package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/trail"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/internal/printable"
)

const day = 24 * time.Hour

// options are the command's flags.
type options struct {
	at                    connection.Flags
	source                trail.Flags
	since, policy, output string
}

// Command makes the command replay. Its flags can also be set by environment variables
// with the prefix.
func Command(prefix string) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "replay",
		Short: "Try policies on the inputs of decisions that were made",
		Long: `Read recorded decisions with their inputs from the audit trail, let a directory of
policies decide again, and print what would change. Nothing is put in force.

The events are read through the API server, under your own name: you need the right
to list events.audit.kubernaut.ai. With --datastorage-url they are read from a
DataStorage without authentication, as kubernaut up starts one.`,
		Example: "  kubernaut policy replay --since 30d --policy ./policies",
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.policy == "" {
				return cli.Usagef("--policy is required: the directory of the candidate")
			}
			return o.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	var flags cli.Flags
	flags.String(&o.policy, "policy", "", "directory of the policies to try", cli.Check(checkDir))
	flags.String(&o.since, "since", "30d", "age of the oldest decision: a duration (24h) or days (7d)", cli.Check(checkAge))
	flags.String(&o.output, "output", "table", "form of the output: table or json", cli.OneOf("table", "json"), cli.Shorthand("o"))
	o.at.DeclareCluster(&flags)
	o.source.Declare(&flags)
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func checkDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err //nolint:wrapcheck // names the path
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return nil
}

func checkAge(text string) error {
	_, err := age(text)
	return err
}

func age(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		const most = 36500
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > most {
			return 0, fmt.Errorf("%q: want 1 to %d days, as in 30d", text, most)
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a duration above 0, as in 24h or 30d", text)
	}
	return d, nil
}

func (o *options) run(ctx context.Context, out, notes io.Writer) error {
	bundle, err := policy.LoadDir(o.policy)
	if err != nil {
		return fmt.Errorf("read the candidate: %w", err)
	}
	candidate, err := policy.Compile(ctx, bundle)
	if err != nil {
		return fmt.Errorf("the candidate cannot be used: %w; see kubernaut policy test %s", err, o.policy)
	}
	from, err := o.source.Open(&o.at, notes)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	back, err := age(o.since)
	if err != nil {
		return cli.Usagef("--since: %w", err)
	}
	result, err := Run(ctx, from, time.Now().Add(-back), candidate)
	if err != nil {
		return err
	}
	if o.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(result); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		return nil
	}
	return result.print(out)
}

func (r *Result) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(r.Changes) > 0 {
		_, _ = fmt.Fprintln(table, "TIME (UTC)\tREQUEST\tDECISION\tRECORDED\tCANDIDATE") // Flush reports the error
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		decision := c.Decision
		if c.Field != fieldValue {
			decision += "." + c.Field
		}
		after := orNone(c.Candidate)
		if c.Error != "" {
			after += ": " + c.Error
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Time.UTC().Format(time.DateTime), printable.Line(c.Request),
			decision, printable.Line(orNone(c.Recorded)), printable.Line(after))
	}
	if r.Unlisted > 0 {
		_, _ = fmt.Fprintf(table, "and %d more\n", r.Unlisted)
	}
	_, _ = fmt.Fprintf(table, "policy replay decisions %d changed %d without input %d of other recorders %d\n", r.Decisions, r.Changed, r.WithoutInput, r.Foreign)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}
