// Package schema owns the tables: the embedded migrations, the check that a
// database has exactly the version that this program was built for, and the
// monthly partitions.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The tables that goose keeps: the versions that were applied, and the lease
// row that lets one migration run at a time.
const (
	versionTable = "schema_migrations"
	lockTable    = "schema_lock"
	// firstVersionTable is what programs of version 1 read. They are ready only if
	// it says 1, so it stays as they left it until a migration breaks them.
	firstVersionTable = "schema_version"
)

// Two migrations at once are short work: the second looks again every second,
// and takes over after the lease when the first one died.
const (
	lockLease     = 10 * time.Second
	lockHeartbeat = 2 * time.Second
	lockRetry     = 1 * time.Second
	lockAttempts  = 120
)

// PostgreSQL's codes (appendix A of its manual).
const (
	codeUndefinedTable    = "42P01"
	codeUndefinedObject   = "42704"
	codeDuplicateTable    = "42P07"
	codeDuplicateObject   = "42710"
	codeUniqueViolation   = "23505"
	codeCheckViolation    = "23514"
	codeLockNotAvailable  = "55P03"
	codeInsufficientRight = "42501"
)

// Querier is a connection or a pool.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Status compares a database with this program.
type Status struct {
	// Current is the database's version, 0 without a schema.
	Current int64
	// Wanted is the version that this program was built for.
	Wanted int64
	// Compatible is the oldest program that works with a newer version; 0 if it is not known.
	Compatible int64
}

// ErrNotCurrent means that the schema is older or newer than this program.
var ErrNotCurrent = errors.New("schema is not current")

// Err is nil when this program works with the database's version, else an error
// that wraps ErrNotCurrent and says what to do.
func (s Status) Err() error {
	switch {
	case s.Current == 0:
		return fmt.Errorf("%w: the database has no schema: run `datastorage migrate up` first", ErrNotCurrent)
	case s.Current < s.Wanted:
		return fmt.Errorf("%w: the database has version %d, this program needs %d: run `datastorage migrate up` first", ErrNotCurrent, s.Current, s.Wanted)
	case s.Current > s.Wanted && (s.Compatible == 0 || s.Compatible > s.Wanted):
		return fmt.Errorf("%w: the database has version %d, this program knows %d: run a datastorage as new as the one that migrated it", ErrNotCurrent, s.Current, s.Wanted)
	default:
		return nil
	}
}

// Read finds out which version a database has; it changes nothing. It does not wait
// long for a table that another session has locked.
func Read(ctx context.Context, db Beginner) (Status, error) {
	wanted, err := newest()
	if err != nil {
		return Status{}, err
	}
	status := Status{Wanted: wanted}
	const query = `SELECT version_id, coalesce((SELECT oldest_program FROM schema_compatible WHERE version = version_id), 0)
		FROM ` + versionTable + ` WHERE is_applied ORDER BY version_id DESC LIMIT 1`
	err = readBriefly(ctx, db, query, &status.Current, &status.Compatible)
	if hasCode(err, codeUndefinedTable) {
		err = readBriefly(ctx, db, `SELECT coalesce(max(version_id), 0) FROM `+firstVersionTable+` WHERE is_applied`, &status.Current)
	}
	if hasCode(err, codeUndefinedTable) || errors.Is(err, pgx.ErrNoRows) {
		return status, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read schema version: %w", ExplainLock(err))
	}
	return status, nil
}

// readBriefly reads one row in a transaction for whose locks it does not wait long.
func readBriefly(ctx context.Context, db Beginner, query string, row ...any) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{BeginQuery: beginBriefly}, func(tx pgx.Tx) error { //nolint:wrapcheck // the caller says what
		return tx.QueryRow(ctx, query).Scan(row...)
	})
}

// newest is the highest version among the embedded migrations.
func newest() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	last := names[len(names)-1] // sorted, and numbered with the same number of digits
	number, _, _ := strings.Cut(strings.TrimPrefix(last, "migrations/"), "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("migration %s: %w", last, err)
	}
	return version, nil
}

// Applied is one migration that Up ran.
type Applied struct {
	Name     string
	Duration time.Duration
}

// Up applies the migrations that the database lacks, each in a transaction,
// and returns them. Several may run at once: a lease row lets one work at a
// time, and it needs no session, so that it works through a connection pooler
// (the reason for goose: its alternative takes session advisory locks). No
// migration waits long for a lock, because others would wait behind it; it is
// tried again until ctx ends.
func Up(ctx context.Context, config *pgx.ConnConfig) (applied []Applied, err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, adoptVersions); err != nil {
		return nil, fmt.Errorf("migrate: take over the versions of %s: %w", firstVersionTable, err)
	}
	for {
		provider, err := newProvider(db)
		if err != nil {
			return applied, err
		}
		results, err := provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, Applied{Name: strings.TrimPrefix(r.Source.Path, "migrations/"), Duration: r.Duration})
		}
		switch {
		case err == nil:
			return applied, nil
		case hasCode(err, codeLockNotAvailable) && ctx.Err() == nil:
			pause(ctx)
		default:
			return applied, fmt.Errorf("migrate: %w", err)
		}
	}
}

// pause lets others have a table that a migration could not lock in time.
func pause(ctx context.Context) {
	timer := time.NewTimer(lockRetry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// adoptVersions makes the table of versions from that of version 1.
const adoptVersions = `DO $$ BEGIN
	PERFORM pg_advisory_xact_lock(7236450191);
	IF to_regclass('` + firstVersionTable + `') IS NOT NULL AND to_regclass('` + versionTable + `') IS NULL THEN
		CREATE TABLE ` + versionTable + ` (LIKE ` + firstVersionTable + ` INCLUDING ALL);
		INSERT INTO ` + versionTable + ` (version_id, is_applied, tstamp) SELECT version_id, is_applied, tstamp FROM ` + firstVersionTable + ` ORDER BY id;
	END IF;
END $$`

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName(lockTable),
		lock.WithTableLeaseDuration(lockLease),
		lock.WithTableHeartbeatInterval(lockHeartbeat),
		lock.WithTableLockTimeout(lockRetry, lockAttempts),
	)
	if err != nil {
		return nil, fmt.Errorf("make migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithLocker(locker), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	return provider, nil
}

// SortTime is the time of an event's place in lists, as an SQL expression over
// audit_events. Only this spelling finds the indexes.
const SortTime = "coalesce(sort_time, event_timestamp)"

// IDTime is the value of the column id_time.
func IDTime(t time.Time, timed bool) pgtype.Timestamptz {
	if !timed {
		return pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	return pgtype.Timestamptz{Time: t, Valid: true}
}

func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return slices.Contains(codes, pg.Code)
}
