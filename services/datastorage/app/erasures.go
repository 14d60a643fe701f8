package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// ExportErasures writes the list of erasures, by which ImportErasures has a restored
// backup erased again, and returns how many there are. If rows are malformed, it calls leftOut
// for each, writes the others, and returns an *IncompleteListError.
func ExportErasures(ctx context.Context, databaseURL string, to io.Writer, leftOut func(id uuid.UUID, why error)) (erasures int, err error) {
	incomplete := &IncompleteListError{}
	err = inDatabase(ctx, databaseURL, func(tx pgx.Tx) (err error) {
		erasures, err = erasure.Export(ctx, tx, to, func(id uuid.UUID, why error) {
			incomplete.LeftOut++
			leftOut(id, why)
		})
		return err //nolint:wrapcheck // says all there is
	})
	if err == nil && incomplete.LeftOut > 0 {
		err = incomplete
	}
	return erasures, err
}

// IncompleteListError means that a list of erasures lacks some.
type IncompleteListError struct {
	// LeftOut is the number of erasures that the list lacks.
	LeftOut int
}

func (e *IncompleteListError) Error() string {
	return fmt.Sprintf("the list is incomplete, because %d rows of audit_requests are malformed: find out who has the serving role's password, "+
		"and see in audit_erasures which events they stand for", e.LeftOut)
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
			erasures, err := ExportErasures(c.Context(), url, c.OutOrStdout(), func(id uuid.UUID, why error) {
				c.PrintErrf("erasure %s is left out: %v\n", id, why)
			})
			if _, incomplete := errors.AsType[*IncompleteListError](err); err == nil || incomplete {
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
