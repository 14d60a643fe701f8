package hold

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
)

// timeout of a transaction. It waits for a retention run that holds the lock row.
const timeout = 30 * time.Second

// patience bounds the wait for the changes before.
const patience = 5 * time.Second

var errBusy = errors.New("another hold or erasure is being recorded")

// Changes are transactions under the lock row of holds and removals. It is safe for
// concurrent use.
type Changes struct {
	pool *pgxpool.Pool
	// turn: one change at once, so that they take one of the pool's connections.
	turn chan struct{}
}

// NewChanges makes Changes that use a pool.
func NewChanges(pool *pgxpool.Pool) *Changes {
	return &Changes{pool: pool, turn: make(chan struct{}, 1)}
}

// Lock takes the lock row of holds and removals until the transaction ends.
func Lock(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT FROM audit_locks WHERE name = 'retention' FOR UPDATE`); err != nil {
		return fmt.Errorf("lock the holds: %w", err)
	}
	return nil
}

// Do runs a transaction under the lock row, and commits it. The error is that of do,
// or says why nothing was changed; after a failure to commit nobody knows.
func (c *Changes) Do(ctx context.Context, do func(pgx.Tx) error) error {
	waiting, over := context.WithTimeout(ctx, patience)
	defer over()
	select {
	case c.turn <- struct{}{}:
	case <-waiting.Done():
		return errBusy
	}
	defer func() { <-c.turn }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) (err error) { //nolint:wrapcheck // says what failed
		tx, err := database.BeginWrite(ctx, conn.Conn(), timeout)
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		defer func() {
			if err != nil {
				_ = tx.Rollback(ctx) // a failure closes the connection
			}
		}()
		if err := Lock(ctx, tx); err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		_, err = database.Commit(ctx, conn.Conn(), consistency.PositionQuery)
		return err //nolint:wrapcheck // says what failed
	})
}
