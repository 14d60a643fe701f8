package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Append stores new events, as a batch, within a transaction: they are stored if
// what they report is. Each id must be new.
func Append(ctx context.Context, tx pgx.Tx, ids *schema.BatchIDs, at time.Time, events ...*event.Event) error {
	id, err := ids.Next(ctx, tx)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	b := &batch{id: id, at: at, events: events}
	rows, own := b.rows(0), b.row()
	if _, err := database.Batch(ctx, tx.Conn(), rows.Statement+"; "+own.Statement, rows.Rows, own.Rows); err != nil {
		return fmt.Errorf("store %d events: %w", len(events), err)
	}
	return nil
}
