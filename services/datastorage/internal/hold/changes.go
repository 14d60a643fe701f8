package hold

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
)

// timeout of a transaction. It waits for a retention run that holds the lock row.
const timeout = 30 * time.Second

var errBusy = errors.New("another hold or erasure is being recorded")

// Changes are transactions under the lock row of holds and removals. It is safe for
// concurrent use.
type Changes struct {
	pool *pgxpool.Pool
	// changing: one change at once, so that they take one of the pool's connections.
	changing sync.Mutex
}

// NewChanges makes Changes that use a pool.
func NewChanges(pool *pgxpool.Pool) *Changes { return &Changes{pool: pool} }

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
	if !c.changing.TryLock() {
		return errBusy
	}
	defer c.changing.Unlock()
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
