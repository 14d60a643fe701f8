// Command datastorage is the audit store: `datastorage serve` answers its API,
// `datastorage migrate` keeps its schema.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/datastorage/app"
)

const prefix = "DATASTORAGE"

func main() { os.Exit(cli.Main(root())) }

func root() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "datastorage", Short: "The audit store: takes events, keeps them, answers queries"})
	c.AddCommand(serve(), migrate())
	return c
}

func serve() *cobra.Command {
	var options app.Options
	return cli.Serve(prefix, "Serve the API until SIGTERM or SIGINT", options.AddFlags, func(log *zap.Logger) (lifecycle.App, error) {
		kube.LogTo(log)
		options.Log = log
		return app.New(options)
	})
}

func migrate() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date, or compare it with this program"})
	c.AddCommand(migrateUp(), migrateStatus())
	return c
}

func migrateUp() *cobra.Command {
	var flags app.MigrateFlags
	c := &cobra.Command{Use: "up", Short: "Apply what the database lacks", Args: cli.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		err := app.AwaitDatabase(c.Context(), flags.DatabaseURL, flags.StartupTimeout, clock.RealClock{}, func(reason error) {
			c.PrintErrf("waiting up to %s for the database: %v\n", flags.StartupTimeout, reason)
		})
		if err != nil {
			return err //nolint:wrapcheck // names what failed
		}
		done, err := app.Migrate(c.Context(), flags.DatabaseURL, time.Now())
		out := c.OutOrStdout() // a reader who went away does not undo what was done
		for _, m := range done.Migrations {
			_, _ = fmt.Fprintf(out, "applied %s in %s\n", m.Name, m.Took.Round(time.Millisecond))
		}
		for _, p := range done.Partitions {
			_, _ = fmt.Fprintf(out, "made %s\n", p)
		}
		if err == nil && len(done.Migrations)+len(done.Partitions) == 0 {
			_, _ = fmt.Fprintln(out, "nothing to do")
		}
		return err //nolint:wrapcheck // names what failed
	}}
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func migrateStatus() *cobra.Command {
	var url string
	c := &cobra.Command{Use: "status", Short: "Compare the database's schema with this program; fails when they differ", Args: cli.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		status, err := app.ReadSchemaStatus(c.Context(), url)
		if err != nil {
			return err //nolint:wrapcheck // names what failed
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "database %d, program %d\n", status.Current, status.Wanted)
		return errors.Join(err, status.Err)
	}}
	app.AddDatabaseFlag(c.Flags(), &url)
	cli.Configure(c, prefix)
	return c
}
