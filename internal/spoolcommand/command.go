// Package spoolcommand is the command that looks at, checks and adopts the
// directory of a spool that no service has open. Every program that records
// audit events has it, because its image has no other tools.
package spoolcommand

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/cli"
)

// Command makes the command spool. The flags of its commands can also be set by
// environment variables with the prefix.
func Command(prefix string) *cobra.Command {
	root := cli.Group(&cobra.Command{Use: "spool", Short: "Look at, check and adopt a directory of accepted audit events"})
	root.AddCommand(inspectCommand(prefix), fsckCommand(prefix), adoptCommand(prefix))
	return root
}

// oneDir wants exactly one argument, the directory.
func oneDir(c *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return cli.Usagef("%s takes one argument, the directory of a spool, got %q", c.CommandPath(), args)
	}
	return nil
}

func inspectCommand(prefix string) *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Say what is in a spool, without changing it",
		Long: `Say what is in a spool: the pending events, each segment, what is damaged, and the
rejected events in quarantine. Nothing is changed. A spool that a process has open
can be inspected as well; what is shown is then that of a moment.`,
		Args: oneDir,
		RunE: func(c *cobra.Command, args []string) error { return inspect(c.OutOrStdout(), args[0], o) },
	}
	var flags cli.Flags
	flags.Bool(&o.events, "events", false, "list the pending events")
	flags.String(&o.output, "output", "text", "form of the output: text or json", cli.OneOf("text", "json"))
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func fsckCommand(prefix string) *cobra.Command {
	c := &cobra.Command{
		Use:   "fsck DIR",
		Short: "Read everything in a spool and fail if something is damaged",
		Long: `Read everything in a spool, also the contents of each pending and each rejected
event, without changing anything. Fails if something is damaged or cannot be read,
and if a process has the spool open.`,
		Args: oneDir,
		RunE: func(c *cobra.Command, args []string) error { return fsck(c.OutOrStdout(), args[0]) },
	}
	cli.Configure(c, prefix)
	return c
}

func adoptCommand(prefix string) *cobra.Command {
	var o adoptOptions
	logs := cli.LogFlags{Level: "warn", Format: "console"}
	c := &cobra.Command{
		Use:   "adopt DIR",
		Short: "Send what a spool holds, and leave its directory empty",
		Long: `Send the pending events of a spool that no process will open again, and the
rejected ones once more, with the given token: that of the workload's own service
account, which recorded them. Then remove the spool's files. Nothing is removed
before everything is stored or acknowledged, so that the command can be repeated.

Events that DataStorage rejects again stay in quarantine. Acknowledge them (kubernaut
stores acknowledge --recorder), and repeat the command with --acknowledgement.`,
		Args: oneDir,
		RunE: func(c *cobra.Command, args []string) error {
			log, err := logs.New(c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			o.log, o.out = log, c.OutOrStdout()
			return o.adopt(c.Context(), args[0])
		},
	}
	flags := o.flags()
	flags.AddTo(c.Flags())
	logs.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func (o *adoptOptions) flags() *cli.Flags {
	var f cli.Flags
	sink.Declare(&f, &o.url, &o.tokenFile, &o.caFile)
	f.Strings(&o.acknowledgements, "acknowledgement", "id of an acknowledgement's record that settles rejected or lost events; may be repeated", cli.Check(checkID))
	f.Duration(&o.timeout, "timeout", 5*time.Minute, "how long to try to send everything")
	return &f
}

// plural is for texts like "1 event" and "2 events".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
