package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// strays are the events of months in the default partition, on their way into
// partitions of those months. Every event of the default partition is copied in
// slices, each its own transaction, into tables that nobody reads. Then the default
// partition is closed, and what arrived meanwhile is copied. A last transaction,
// which touches no event, puts the tables in the place of the default partition.
type strays struct {
	*Partitions
	Moving

	moved int64
}

// Moving says how events move out of the default partition.
type Moving struct {
	// Months are those that get a partition, from StrayMonths.
	Months []time.Time
	// Slice bounds the events of one transaction.
	Slice int
	// Check is made in each transaction.
	Check Check
	// Between is called after each slice. An error ends it.
	Between func() error
}

const (
	defaultTable = "audit_events_default"
	// nextDefault takes the place of the default partition.
	nextDefault = defaultTable + "_next"
	// closedDefault keeps events out of the default partition; IsMakingRoom tells an event that it refuses.
	closedDefault = roomPrefix + "moves"
	// boundsPrefix begins the names of the constraints that spare an attached table the look at its events.
	boundsPrefix = "audit_events_bounds_"
)

// StrayMonths returns the months whose partition is missing although the default
// partition has events of theirs, from 2015 to the last month that Ensure makes;
// none while a migration builds indexes.
func (p *Partitions) StrayMonths(ctx context.Context, db Executor, now time.Time) ([]time.Time, error) {
	current := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	// A migration that builds an index partition by partition must find the partitions that it began with.
	var building bool
	if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'audit_events'::regclass AND NOT indisvalid)`).Scan(&building); err != nil {
		return nil, fmt.Errorf("look for indexes that are being built: %w", err)
	}
	if building {
		return nil, nil
	}
	var months []time.Time
	from, end := firstMonth, current.AddDate(0, monthsAhead+1, 0)
	for from.Before(end) {
		// The index of the primary key finds the next one without reading the events in between.
		var next *time.Time
		err := db.QueryRow(ctx, `SELECT min(id_time) FROM audit_events_default WHERE id_time >= $1 AND id_time < $2`, from, end).Scan(&next)
		if err != nil {
			return nil, fmt.Errorf("look for strays: %w", err)
		}
		if next == nil {
			break
		}
		month := time.Date(next.UTC().Year(), next.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
		months = append(months, month)
		from = month.AddDate(0, 1, 0)
	}
	return months, nil
}

// MoveStrays makes the partitions of months, of the events that are in the default
// one. A run that was interrupted begins again.
func (p *Partitions) MoveStrays(ctx context.Context, m Moving) (moved int64, err error) {
	s := &strays{Partitions: p, Moving: m}
	if err := s.open(ctx); err != nil || len(m.Months) == 0 {
		return 0, err
	}
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	if err := s.copyAll(ctx); err != nil {
		return 0, err
	}
	if err := s.change(ctx, `ALTER TABLE `+defaultTable+` ADD CONSTRAINT `+closedDefault+` CHECK (false) NOT VALID`); err != nil {
		return 0, err
	}
	if err = s.copyAll(ctx); err == nil {
		err = s.replace(ctx)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		return 0, errors.Join(err, s.open(ctx))
	}
	return s.moved, nil
}

// open lets events into a default partition that a run left closed.
func (s *strays) open(ctx context.Context) error {
	var closed bool
	const query = `SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'audit_events_default'::regclass AND conname = $1)`
	if err := s.db.QueryRow(ctx, query, closedDefault).Scan(&closed); err != nil {
		return fmt.Errorf("look whether the default partition is closed: %w", err)
	}
	if !closed {
		return nil
	}
	return s.change(ctx, `ALTER TABLE `+defaultTable+` DROP CONSTRAINT `+closedDefault)
}

// target takes the events of a range.
type target struct {
	table    string
	from, to string
}

// targets are those of all events of the default partition, in the order of their ids.
func (s *strays) targets() []target {
	all := make([]target, 0, 2*len(s.Months)+1)
	next := "-infinity"
	for _, month := range s.Months {
		from, to := bounds(month)
		all = append(all, target{nextDefault, next, from}, target{MonthName(month), from, to})
		next = to
	}
	return append(all, target{nextDefault, next, "infinity"})
}

// prepare makes the tables. One from an interrupted run goes, because its events may have changed.
func (s *strays) prepare(ctx context.Context) error {
	var constraints []string
	// A partition's constraint is that its time is there, and within its bounds. The next default partition has
	// what is in none: the same in other words, so that PostgreSQL need not look at its events.
	err := s.db.QueryRow(ctx, `SELECT coalesce(array_agg(format('ALTER TABLE `+nextDefault+` ADD CONSTRAINT %I CHECK (NOT (%s))', $1::text || inhrelid,
			replace(pg_get_partition_constraintdef(inhrelid), '(id_time IS NOT NULL) AND ', ''))), '{}')
		FROM pg_inherits WHERE inhparent = 'audit_events'::regclass AND inhrelid <> 'audit_events_default'::regclass`, boundsPrefix).Scan(&constraints)
	if err != nil {
		return fmt.Errorf("read the bounds of partitions: %w", err)
	}
	statements := append([]string{`DROP TABLE IF EXISTS ` + nextDefault}, s.create(nextDefault)...)
	statements = append(statements, constraints...)
	for _, month := range s.Months {
		name := MonthName(month)
		from, to := bounds(month)
		statements = append(statements, `DROP TABLE IF EXISTS `+name)
		statements = append(statements, s.create(name)...)
		within := `id_time >= '` + from + `' AND id_time < '` + to + `'`
		statements = append(statements,
			`ALTER TABLE `+name+` ADD CONSTRAINT `+boundsPrefix+`own CHECK (id_time IS NOT NULL AND `+within+`)`,
			`ALTER TABLE `+nextDefault+` ADD CONSTRAINT `+boundsPrefix+name+` CHECK (NOT (`+within+`))`)
	}
	return s.change(ctx, statements...)
}

// copyAll copies the events that the tables do not have yet.
func (s *strays) copyAll(ctx context.Context) error {
	for _, t := range s.targets() {
		if err := s.copy(ctx, t); err != nil {
			return fmt.Errorf("copy events to %s: %w", t.table, err)
		}
	}
	return nil
}

// copy copies the events of a range in slices. A partition has the columns of the table, in the same order.
func (s *strays) copy(ctx context.Context, t target) error {
	//nolint:unqueryvet // all columns are moved
	query := `WITH slice AS MATERIALIZED (SELECT * FROM audit_events_default
			WHERE id_time >= $1::text::timestamptz AND id_time < $2::text::timestamptz AND (id_time, event_id) > ($3::text::timestamptz, $4)
			ORDER BY id_time, event_id LIMIT $5),
		copied AS (INSERT INTO ` + t.table + ` SELECT * FROM slice ON CONFLICT DO NOTHING RETURNING 1)
		SELECT (SELECT count(*) FROM slice), (SELECT count(*) FROM copied), last.id_time::text, last.event_id
		FROM (SELECT 1) AS one LEFT JOIN (SELECT id_time, event_id FROM slice ORDER BY id_time DESC, event_id DESC LIMIT 1) AS last ON true`
	after, id := "-infinity", uuid.Nil
	for {
		var seen, copied int64
		var lastTime *string
		var lastID *uuid.UUID
		err := s.transaction(ctx, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, query, t.from, t.to, after, id, s.Slice).Scan(&seen, &copied, &lastTime, &lastID)
		})
		if err != nil {
			return err
		}
		if t.table != nextDefault {
			s.moved += copied
		}
		if seen > 0 {
			if err := s.Between(); err != nil {
				return err
			}
		}
		if seen < int64(s.Slice) {
			return nil
		}
		after, id = *lastTime, *lastID
	}
}

// replace puts the tables in the place of the default partition. Events wait meanwhile, as briefly as for an empty
// partition: nothing is copied, and the constraints spare PostgreSQL the look at the events.
func (s *strays) replace(ctx context.Context) error {
	months := make([]string, 0, 2*len(s.Months))
	for _, month := range s.Months {
		from, to := bounds(month)
		months = append(months,
			`ALTER TABLE audit_events ATTACH PARTITION `+MonthName(month)+` FOR VALUES FROM ('`+from+`') TO ('`+to+`')`,
			`ALTER TABLE `+MonthName(month)+` DROP CONSTRAINT `+boundsPrefix+`own`)
	}
	statements := slices.Concat([]string{`ALTER TABLE audit_events DETACH PARTITION ` + defaultTable}, months, []string{
		`ALTER TABLE audit_events ATTACH PARTITION ` + nextDefault + ` DEFAULT`,
		`DROP TABLE ` + defaultTable,
		`DO $$ DECLARE name text; BEGIN
			FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = '` + nextDefault + `'::regclass AND conname LIKE '` + boundsPrefix + `%' LOOP
				EXECUTE format('ALTER TABLE ` + nextDefault + ` DROP CONSTRAINT %I', name);
			END LOOP;
		END $$`,
		`ALTER TABLE ` + nextDefault + ` RENAME TO ` + defaultTable,
	})
	err := s.change(ctx, statements...)
	for attempt := 1; attempt < attempts && hasCode(err, codeLockNotAvailable); attempt++ {
		err = s.change(ctx, statements...)
	}
	return err
}

// change changes tables.
func (s *strays) change(ctx context.Context, statements ...string) error {
	err := s.transaction(ctx, func(tx pgx.Tx) error {
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.60s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("move events out of the default partition: %w", err)
	}
	return nil
}

func (s *strays) transaction(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{BeginQuery: beginBriefly}, func(tx pgx.Tx) error { //nolint:wrapcheck // the caller says what
		if err := s.Check(ctx, tx); err != nil {
			return err
		}
		return do(tx)
	})
}
