package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// strays are the events of a month in the default partition, on their way into
// a partition of that month. They are copied in slices, each its own transaction,
// into a table that nobody reads; a last transaction removes them from the
// default partition and attaches the table.
type strays struct {
	db    Beginner
	month time.Time
	slice int
	// moved counts events, after move.
	moved int64
}

// StrayMonths returns the months whose partition is missing although the default
// partition has events of theirs, from 2015 to the last month that Ensure makes.
func (p *Partitions) StrayMonths(ctx context.Context, db Executor, now time.Time) ([]time.Time, error) {
	current := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
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

// MoveStrays makes the partition of a month, of the events that are in the default
// one. It copies at most slice of them in one transaction, and calls between
// after each. A run that was interrupted is taken up where it was.
func (p *Partitions) MoveStrays(ctx context.Context, month time.Time, slice int, between func() error) (moved int64, err error) {
	s := &strays{db: p.db, month: month, slice: slice}
	name := MonthName(month)
	var exists bool
	if err := p.db.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&exists); err != nil {
		return 0, fmt.Errorf("look for table %s: %w", name, err)
	}
	if !exists {
		if err := p.transaction(ctx, p.create(pgx.Identifier{name}.Sanitize())...); err != nil {
			return 0, err
		}
	}
	for {
		copied, err := s.copy(ctx)
		if err != nil {
			return 0, err
		}
		if err := between(); err != nil {
			return 0, err
		}
		if copied < int64(slice) {
			break
		}
	}
	if err := p.makeMonth(ctx, month, s); err != nil {
		return 0, err
	}
	return s.moved, nil
}

// copy copies the next slice. A partition has the columns of the table, in the same order.
func (s *strays) copy(ctx context.Context) (int64, error) {
	name := pgx.Identifier{MonthName(s.month)}.Sanitize()
	var copied int64
	err := s.transaction(ctx, func(tx pgx.Tx) error {
		//nolint:unqueryvet // all columns are moved
		done, err := tx.Exec(ctx, `INSERT INTO `+name+` SELECT d.* FROM audit_events_default AS d
			WHERE id_time >= $1 AND id_time < $2
			AND (id_time, event_id) > (SELECT coalesce(max(id_time), '-infinity'),
				coalesce((SELECT event_id FROM `+name+` ORDER BY id_time DESC, event_id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000') FROM `+name+`)
			ORDER BY id_time, event_id LIMIT $3`, s.month, s.month.AddDate(0, 1, 0), s.slice)
		copied = done.RowsAffected()
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return 0, fmt.Errorf("copy events of %s: %w", MonthName(s.month), err)
	}
	return copied, nil
}

// move copies what arrived behind the slices, removes the month's events from the
// default partition, and runs the statements that attach the new one. No event of
// the month arrives meanwhile, because of the constraint that makes room.
func (s *strays) move(ctx context.Context, attach []string) error {
	name := pgx.Identifier{MonthName(s.month)}.Sanitize()
	from, to := s.month, s.month.AddDate(0, 1, 0)
	err := s.transaction(ctx, func(tx pgx.Tx) error {
		//nolint:unqueryvet // all columns are moved
		_, err := tx.Exec(ctx, `INSERT INTO `+name+` SELECT d.* FROM audit_events_default AS d
			WHERE id_time >= $1 AND id_time < $2 AND NOT EXISTS (SELECT FROM `+name+` AS n WHERE n.id_time = d.id_time AND n.event_id = d.event_id)`, from, to)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		done, err := tx.Exec(ctx, `DELETE FROM audit_events_default WHERE id_time >= $1 AND id_time < $2`, from, to)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		s.moved = done.RowsAffected()
		for _, statement := range attach {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.40s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("move the events of %s: %w", MonthName(s.month), err)
	}
	return nil
}

func (s *strays) transaction(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{BeginQuery: beginBriefly}, do) //nolint:wrapcheck // the caller says what
}
