package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The limits that the server enforces in every transaction, besides that of a
// statement. They hold when this process or its host is gone.
const (
	// lockTimeout bounds the wait for one lock.
	lockTimeout = 10 * time.Second
	// idleTimeout bounds the time between two statements: a client that vanished
	// inside a transaction leaves its locks.
	idleTimeout = 5 * time.Second
)

// BeginWrite starts a transaction whose commit waits until it is on disk, and on
// the standbys if replication is synchronous, whatever the configuration of the
// database, role or pooler says; a configuration that promises more stays. One
// round trip sets all of it, for this transaction alone, so that it holds behind
// a pooler. Each statement may take as long as limit.
func BeginWrite(ctx context.Context, conn *pgx.Conn, limit time.Duration) (pgx.Tx, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: beginWrite(limit)})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return tx, nil
}

// beginWrite are the statements of BeginWrite. Without READ WRITE, which would
// override a read-only fence of the database.
func beginWrite(limit time.Duration) string {
	return `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('synchronous_commit',
		CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on'
			ELSE current_setting('synchronous_commit') END, true),
		set_config('client_min_messages', 'warning', true), ` + limits(limit, true)
}

// What a commit waits for, as values of synchronous_commit: the disk here and on synchronous
// standbys, or that standbys have replayed it, too.
const (
	waitsLocally   = "on"
	waitsForReplay = "remote_apply"
	// askWaits asks for the configuration, behind other columns.
	askWaits = `, current_setting('synchronous_commit')`
	// waitsKey of a connection's custom data holds what its configuration promised last.
	waitsKey = "kubernaut.ai/commit-waits"
)

// commitWaits is what a commit on conn should wait for.
func commitWaits(conn *pgx.Conn) string {
	if conn.PgConn().CustomData()[waitsKey] == waitsForReplay {
		return waitsForReplay
	}
	return waitsLocally
}

func expectWaits(conn *pgx.Conn, configured string) {
	conn.PgConn().CustomData()[waitsKey] = configured
}

// beginOnce are the statements of BeginWrite for a transaction that is sent in one
// piece, without a bound on the time between statements. They cost the server less:
// settings without an expression need no plan. What the configuration says about
// commits is known from the start of the connection or the transaction before, and
// is checked after this one.
func beginOnce(limit time.Duration, waits string) string {
	return fmt.Sprintf(`BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = %s; SET LOCAL client_min_messages = warning; `+
		`SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; `, waits, max(limit.Milliseconds(), 1), lockTimeout.Milliseconds())
}

// beginRead starts a transaction that only reads. A query has one process of the
// server: what it may compute is bounded, and compiling takes longer than most.
func beginRead(ctx context.Context, conn *pgx.Conn, limit time.Duration) (pgx.Tx, error) {
	begin := beginReading
	if !isLimited(conn, limit) {
		begin += "; " + readLimits(limit, true)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return tx, nil
}

const beginReading = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY`

// limitedKey of a connection's custom data holds the limit of a statement that its
// session has.
const limitedKey = "kubernaut.ai/statement-limit"

// limitReads gives the session of a connection the limits of beginRead, so that a
// query is one statement and its plan is all that the server makes. Behind a pooler
// the session is not this connection's: its transactions bring their limits along.
func limitReads(ctx context.Context, conn *pgx.Conn, limit time.Duration) error {
	if !isDirect(conn) {
		return nil
	}
	if _, err := conn.Exec(ctx, readLimits(limit, false), pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("limit queries: %w", err)
	}
	conn.PgConn().CustomData()[limitedKey] = limit
	return nil
}

// isLimited reports whether the session has this limit.
func isLimited(conn *pgx.Conn, limit time.Duration) bool {
	return conn.PgConn().CustomData()[limitedKey] == limit
}

// readLimits is the statement that bounds what only reads, until the end of a
// transaction, or of the session.
func readLimits(limit time.Duration, local bool) string {
	return fmt.Sprintf(`SELECT set_config('jit', 'off', %[1]t), set_config('max_parallel_workers_per_gather', '0', %[1]t), %[2]s`,
		local, limits(limit, local))
}

// limits are calls that set the server's limits.
func limits(statement time.Duration, local bool) string {
	return fmt.Sprintf(`set_config('statement_timeout', '%[1]d', %[4]t), set_config('lock_timeout', '%[2]d', %[4]t),
		set_config('idle_in_transaction_session_timeout', '%[3]d', %[4]t)`,
		max(statement.Milliseconds(), 1), lockTimeout.Milliseconds(), idleTimeout.Milliseconds(), local)
}

// CommitWarningError is a commit that succeeded with a warning. PostgreSQL warns when
// it stopped waiting for a synchronous standby: the transaction is on the
// primary's disk and would not survive a failover.
type CommitWarningError struct{ Message string }

func (e *CommitWarningError) Error() string { return "commit: the server warns: " + e.Message }

// warningKey of a connection's custom data holds the last warning.
const warningKey = "kubernaut.ai/warning"

// noteWarning keeps a warning for Commit.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	severity := n.SeverityUnlocalized
	if severity == "" {
		severity = n.Severity
	}
	if severity == "WARNING" {
		c.CustomData()[warningKey] = n.Message
	}
}

var errNothingAnswered = errors.New("the server did not answer what was asked with the commit")

// Commit ends the transaction on conn, runs a query in the same round trip and
// returns its first row as text. Anything but a plain success of the commit is an
// error: a rollback, and a success with a warning, which is a *CommitWarningError.
func Commit(ctx context.Context, conn *pgx.Conn, query string) ([]string, error) {
	c := conn.PgConn()
	delete(c.CustomData(), warningKey)
	results, err := c.Exec(ctx, "COMMIT; "+query).ReadAll()
	warning, warned := c.CustomData()[warningKey].(string)
	switch {
	case warned:
		return nil, &CommitWarningError{Message: warning}
	case err != nil:
		return nil, fmt.Errorf("commit: %w", err)
	case len(results) == 0 || results[0].CommandTag.String() != "COMMIT":
		return nil, pgx.ErrTxCommitRollback
	case len(results) == 1 || len(results[1].Rows) == 0:
		return nil, errNothingAnswered
	}
	row := make([]string, len(results[1].Rows[0]))
	for i, value := range results[1].Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

// Durable makes the commit of a transaction wait although it stored nothing. A
// duplicate may have been committed by a server that stopped waiting for its
// standby, or that crashed before the standby had it: only a record of this
// transaction's own, behind that one in the log, proves that it is safe by now.
func Durable(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_logical_emit_message(true, 'kubernaut', '')`); err != nil {
		return fmt.Errorf("write to the log: %w", err)
	}
	return nil
}
