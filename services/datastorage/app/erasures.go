package app

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// ExportErasures writes the list of erasures, by which ImportErasures has a restored
// backup erased again, and returns how many there are.
func ExportErasures(ctx context.Context, databaseURL string, to io.Writer) (erasures int, err error) {
	err = inDatabase(ctx, databaseURL, func(tx pgx.Tx) error {
		exported, err := erasure.Export(ctx, tx, to)
		erasures = exported
		return err //nolint:wrapcheck // says all there is
	})
	return erasures, err
}

// ImportErasures adds what ExportErasures wrote to the list of a database, and returns
// how many erasures it did not have. The next maintenance run carries them out.
func ImportErasures(ctx context.Context, databaseURL string, from io.Reader) (added int, err error) {
	err = inDatabase(ctx, databaseURL, func(tx pgx.Tx) error {
		imported, err := erasure.Import(ctx, tx, from)
		added = imported
		return err //nolint:wrapcheck // says all there is
	})
	return added, err
}

// inDatabase runs a transaction in a database that has this program's schema.
func inDatabase(ctx context.Context, databaseURL string, do func(pgx.Tx) error) error {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	return withConnection(ctx, config, func(conn *pgx.Conn) error {
		status, err := schema.Read(ctx, conn)
		if err == nil {
			err = status.Err()
		}
		if err != nil {
			return fmt.Errorf("erasures: %w", err)
		}
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{BeginQuery: schema.Begin}, do)
	})
}

func erasuresCommand() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "erasures", Short: "Carry the list of erased events over to a restored backup"})
	c.AddCommand(
		transferCommand("export", "Write the list of erasures to standard output", func(c *cobra.Command, url string) error {
			erasures, err := ExportErasures(c.Context(), url, c.OutOrStdout())
			if err == nil {
				c.PrintErrf("%d erasures\n", erasures)
			}
			return err
		}),
		transferCommand("import", "Read the list from standard input; the next maintenance run erases its events again", func(c *cobra.Command, url string) error {
			added, err := ImportErasures(c.Context(), url, c.InOrStdin())
			if err == nil {
				c.PrintErrf("%d erasures added\n", added)
			}
			return err
		}))
	return c
}

func transferCommand(use, short string, do func(c *cobra.Command, url string) error) *cobra.Command {
	var url string
	c := &cobra.Command{Use: use, Short: short, Args: cli.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return do(c, url) }}
	AddDatabaseFlag(c.Flags(), &url)
	cli.Configure(c, prefix)
	return c
}
