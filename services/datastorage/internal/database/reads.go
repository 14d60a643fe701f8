package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrBusy means that all connections for queries were in use for too long.
var ErrBusy = errors.New("all connections for queries are in use")

// SlowConnectError means that a query needed a new connection, and had none in time.
type SlowConnectError struct {
	Wait time.Duration
	// Down: the watch knows that the database does not answer.
	Down bool
}

func (e *SlowConnectError) Error() string {
	return fmt.Sprintf("no new connection to the database within --query-wait %s: raise it, or find out why connecting takes so long", e.Wait)
}

// Reads runs queries on connections of their own, so that they take none from
// ingest and probes. Its methods are safe for concurrent use.
type Reads struct {
	pool          *pgxpool.Pool
	wait, timeout time.Duration
	watch         *Watch
	refused       func()
}

// Reads returns the access of queries: each waits for a connection no longer than
// wait, and may take as long as Options.QueryTimeout.
func (p *Pools) Reads(wait time.Duration) *Reads {
	return &Reads{pool: p.Query, wait: wait, timeout: p.queryTimeout, watch: p.Watch, refused: p.QueryRefused}
}

// Do calls use with a transaction that only reads. All its statements run on one
// server, also behind a pooler, and the server stops them when their time is over.
// The error is that of use, ErrBusy, a *SlowConnectError, or says why there is no connection.
func (r *Reads) Do(ctx context.Context, use func(ctx context.Context, tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.do(ctx, use)
	if err != nil {
		r.watch.Failed(err)
	}
	return err
}

// Query runs one statement as Do does, in one round trip. The function read takes
// its rows; it need not close them.
func (r *Reads) Query(ctx context.Context, sql string, args []any, read func(pgx.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.query(ctx, sql, args, read)
	if err != nil {
		r.watch.Failed(err)
	}
	return err
}

func (r *Reads) do(ctx context.Context, use func(ctx context.Context, tx pgx.Tx) error) error {
	conn, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := beginRead(ctx, conn.Conn(), r.timeout)
	if err != nil {
		return err
	}
	// There is nothing to commit; a failure closes the connection.
	defer func() { _ = tx.Rollback(ctx) }()
	return use(ctx, tx)
}

func (r *Reads) query(ctx context.Context, sql string, args []any, read func(pgx.Rows) error) (err error) {
	conn, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	// A connection whose transaction did not end is closed.
	defer conn.Release()
	if isLimited(conn.Conn(), r.timeout) {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		defer rows.Close()
		return read(rows)
	}
	return r.queryLimited(ctx, conn, sql, args, read)
}

// queryLimited sends the limits along.
func (r *Reads) queryLimited(ctx context.Context, conn *pgxpool.Conn, sql string, args []any, read func(pgx.Rows) error) (err error) {
	var batch pgx.Batch
	batch.Queue(beginReading)
	batch.Queue(readLimits(r.timeout, true))
	batch.Queue(sql, args...)
	batch.Queue("ROLLBACK")
	results := conn.SendBatch(ctx, &batch)
	defer func() {
		if ended := results.Close(); err == nil && ended != nil {
			err = fmt.Errorf("end: %w", ended)
		}
	}()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	}
	rows, err := results.Query()
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	defer rows.Close()
	return read(rows)
}

func (r *Reads) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	conn, err := r.pool.Acquire(waiting)
	switch {
	case err == nil:
		return conn, nil
	case waiting.Err() != nil && ctx.Err() == nil && r.full():
		r.refused()
		return nil, ErrBusy
	case waiting.Err() != nil && ctx.Err() == nil:
		return nil, &SlowConnectError{Wait: r.wait, Down: r.watch.State() == Down}
	default:
		return nil, fmt.Errorf("connect: %w", err)
	}
}

// full reports whether no connection is missing that could be made.
func (r *Reads) full() bool {
	s := r.pool.Stat()
	return s.AcquiredConns()+s.IdleConns() >= s.MaxConns()
}
