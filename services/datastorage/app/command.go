package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/datastorage/internal/hold"
)

const prefix = "DATASTORAGE"

// Command is the command line of the program. It configures the Kubernetes
// logging of the whole process.
func Command() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "datastorage", Short: "The audit store: stores events and answers queries"})
	c.AddCommand(serveCommand(), migrateCommand(), maintainCommand(), erasuresCommand())
	return c
}

func serveCommand() *cobra.Command {
	var options Options
	return cli.Serve(prefix, "Serve the API until SIGTERM or SIGINT", options.AddFlags, func(log *zap.Logger) (lifecycle.App, error) {
		kube.LogTo(log)
		options.Log = log
		return New(options)
	})
}

func maintainCommand() *cobra.Command {
	var options MaintainOptions
	var logs cli.LogFlags
	var once, dryRun bool
	c := &cobra.Command{
		Use: "maintain", Short: "Make partitions, build indexes, and keep counts, until SIGTERM or SIGINT", Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.New(c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			options.Log = log
			m, err := NewMaintainer(options)
			if err != nil {
				return err
			}
			out := c.OutOrStdout() // a failed write does not undo what was done
			switch {
			case dryRun:
				pending, err := m.Pending(c.Context())
				if _, malformed := errors.AsType[*hold.UnusableError](err); err != nil && !malformed {
					return err
				}
				_, _ = fmt.Fprintf(out, "months to move: %d\nindexes to build or drop: %v\nevents to count: %d\n", len(pending.Months), pending.Indexes, pending.Uncounted)
				_, _ = fmt.Fprintf(out, "erasures to carry out: %d\n", pending.Erasures)
				for _, e := range pending.Expired {
					_, _ = fmt.Fprintf(out, "%s: %d expired events to remove, %d to keep, %d of them held\n", e.Partition, e.Removed, e.Kept, e.Held)
				}
				return err
			case once:
				done, err := m.Once(c.Context())
				_, _ = fmt.Fprintf(out, "made partitions %v and indexes %v; moved %d events, completed %d, counted %d\n",
					done.Partitions, done.Indexes, done.Moved, done.Completed, done.Counted)
				for _, e := range done.Removed {
					_, _ = fmt.Fprintf(out, "%s: removed %d expired events, kept %d, %d of them held\n", e.Partition, e.Removed, e.Kept, e.Held)
				}
				for _, e := range done.Erasures {
					_, _ = fmt.Fprintf(out, "erasure %s: %s, %d events\n", e.ID, e.Status, e.Erased)
				}
				if done.ErasedAgain+done.HeldAgain > 0 {
					_, _ = fmt.Fprintf(out, "erased %d events again that had come back, %d are held\n", done.ErasedAgain, done.HeldAgain)
				}
				return err
			default:
				return m.Run(c.Context())
			}
		},
	}
	options.AddFlags(c.Flags())
	logs.AddTo(c.Flags())
	var f cli.Flags
	f.Bool(&once, "once", false, "do what there is to do, print it, and end")
	f.Bool(&dryRun, "dry-run", false, "print what there is to do, and end")
	f.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func migrateCommand() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "migrate", Short: "Update the database's schema, or compare it with this program's"})
	c.AddCommand(migrateUpCommand(), migrateStatusCommand())
	return c
}

func migrateUpCommand() *cobra.Command {
	var flags MigrateFlags
	c := &cobra.Command{Use: "up", Short: "Apply the migrations that the database lacks", Args: cli.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		err := AwaitDatabase(c.Context(), flags.DatabaseURL, flags.StartupTimeout, func(reason error) {
			c.PrintErrf("waiting up to %s for the database: %v\n", flags.StartupTimeout, reason)
		})
		if err != nil {
			return err
		}
		done, err := Migrate(c.Context(), flags.DatabaseURL, flags.Roles, time.Now())
		out := c.OutOrStdout() // a failed write does not undo what was done
		for _, m := range done.Migrations {
			_, _ = fmt.Fprintf(out, "applied %s in %s\n", m.Name, m.Took.Round(time.Millisecond))
		}
		for _, i := range done.Indexes {
			_, _ = fmt.Fprintf(out, "built %s\n", i)
		}
		for _, p := range done.Partitions {
			_, _ = fmt.Fprintf(out, "made %s\n", p)
		}
		if err == nil && len(done.Migrations)+len(done.Indexes)+len(done.Partitions) == 0 {
			_, _ = fmt.Fprintln(out, "nothing to do")
		}
		return err
	}}
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func migrateStatusCommand() *cobra.Command {
	var url string
	c := &cobra.Command{Use: "status", Short: "Compare the schemas; fails when they differ", Args: cli.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		status, err := ReadSchemaStatus(c.Context(), url)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "database %d, program %d\n", status.Current, status.Wanted)
		return errors.Join(err, status.Err)
	}}
	AddDatabaseFlag(c.Flags(), &url)
	cli.Configure(c, prefix)
	return c
}
