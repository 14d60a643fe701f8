package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/erasure"
)

const (
	// againEvery is how often the whole list of erased events is compared with the events.
	againEvery = 24 * time.Hour
	// scrubEvery is how often a partition is cleaned at most, because it costs as much as
	// building its indexes.
	scrubEvery = time.Hour
	scrubTask  = "scrub "
)

// Erase carries out the erasures that wait, without the other work; ran is false if none
// waits. Its error is ErrBusy if another run is at work; the report has what was done
// before an error.
func (r *Runner) Erase(ctx context.Context) (report Report, ran bool, err error) {
	var open bool
	if err := r.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM audit_requests WHERE finished_at IS NULL)`).Scan(&open); err != nil {
		return report, false, fmt.Errorf("look for erasures: %w", err)
	}
	if !open {
		return report, false, nil
	}
	report, err = r.run(ctx, []part{{"erase events", func(ctx context.Context, report *Report) error {
		err := r.eraseComplete(ctx, report)
		if !errors.Is(err, erasure.ErrIncomplete) {
			return err
		}
		if err := r.complete(ctx, report); err != nil {
			return err
		}
		return r.erase(ctx, report)
	}}})
	return report, true, err
}

// erase carries out the erasures that wait, up to one whose events were stored without a commitment after the run
// completed events: the next one completes them.
func (r *Runner) erase(ctx context.Context, report *Report) error {
	if err := r.eraseComplete(ctx, report); !errors.Is(err, erasure.ErrIncomplete) {
		return err
	}
	return nil
}

// eraseComplete carries out the erasures that wait, each in one transaction.
func (r *Runner) eraseComplete(ctx context.Context, report *Report) error {
	x := erasure.Executor{Decoder: r.decoder, IDs: &r.batches}
	for {
		var done *erasure.Done
		err := r.slice(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			done, err = x.Next(ctx, tx, r.options.Clock.Now())
			return err //nolint:wrapcheck // says all there is
		})
		switch {
		case err != nil:
			return err
		case done == nil:
			return nil
		}
		report.Erasures = append(report.Erasures, *done)
		if err := r.between(); err != nil {
			return err
		}
	}
}

// eraseAgain erases events that came back although they are on the list.
func (r *Runner) eraseAgain(ctx context.Context, report *Report) error {
	due, err := r.due(ctx, erasure.Task, againEvery)
	if err != nil || !due {
		return err
	}
	x := erasure.Executor{Decoder: r.decoder, IDs: &r.batches}
	most := min(r.options.Slice, erasure.MaxEvents)
	for at := &erasure.First; at != nil; {
		var next *erasure.Place
		var done erasure.Done
		err := r.slice(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			next, done, err = x.Again(ctx, tx, *at, most, r.options.Clock.Now())
			return err //nolint:wrapcheck // says all there is
		})
		if err != nil {
			return err
		}
		report.ErasedAgain += int64(done.Erased)
		report.HeldAgain += int64(done.Held)
		if err := r.between(); err != nil {
			return err
		}
		at = next
	}
	return r.didNow(ctx, erasure.Task)
}

// scrub removes the old versions of erased events from tables and indexes, and what
// the planner noted of them.
func (r *Runner) scrub(ctx context.Context, report *Report) error {
	rows, err := r.db.Query(ctx, `SELECT task, to_regclass(substr(task, $2))::text FROM audit_maintenance
		WHERE starts_with(task, $1) AND (state ->> 'pending')::boolean AND coalesce((state ->> 'not_before')::timestamptz <= $3, true)
		ORDER BY task`, scrubTask, len(scrubTask)+1, r.options.Clock.Now())
	if err != nil {
		return fmt.Errorf("look for tables with erased events: %w", err)
	}
	type table struct {
		Task string
		Name *string
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return fmt.Errorf("look for tables with erased events: %w", err)
	}
	for _, t := range tables {
		if t.Name == nil { // retention removed it
			if _, err := r.db.Exec(ctx, `DELETE FROM audit_maintenance WHERE task = $1`, t.Task); err != nil {
				return fmt.Errorf("forget %s: %w", t.Task, err)
			}
			continue
		}
		gone, err := r.scrubTable(ctx, *t.Name)
		if err != nil {
			return fmt.Errorf("table %s: %w", *t.Name, err)
		}
		if gone {
			report.Scrubbed = append(report.Scrubbed, *t.Name)
		}
		if _, err := r.db.Exec(ctx, `UPDATE audit_maintenance SET state = jsonb_build_object('pending', NOT $2::boolean, 'not_before', $3::timestamptz), updated_at = now()
			WHERE task = $1`, t.Task, gone, r.options.Clock.Now().Add(scrubEvery)); err != nil {
			return fmt.Errorf("note that table %s is clean: %w", *t.Name, err)
		}
		if err := r.between(); err != nil {
			return err
		}
	}
	return nil
}

// scrubTable reports whether no old version of an event is left.
func (r *Runner) scrubTable(ctx context.Context, name string) (gone bool, err error) {
	if _, err := r.db.Exec(ctx, `VACUUM (ANALYZE, INDEX_CLEANUP ON) `+name); err != nil {
		return false, fmt.Errorf("vacuum: %w", err)
	}
	// These remember values that their tables had.
	rows, err := r.db.Query(ctx, `SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
		WHERE indrelid = $1::regclass AND indisvalid AND amname IN ('brin', 'gin') ORDER BY 1`, name)
	if err != nil {
		return false, fmt.Errorf("list its indexes: %w", err)
	}
	indexes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, fmt.Errorf("list its indexes: %w", err)
	}
	for _, index := range indexes {
		if _, err := r.db.Exec(ctx, `REINDEX INDEX CONCURRENTLY `+index); err != nil {
			return false, fmt.Errorf("rebuild index %s: %w", index, err)
		}
	}
	// A transaction that began before the erasure may see the old versions, so they stay.
	if err := r.db.QueryRow(ctx, `SELECT coalesce(pg_stat_get_dead_tuples($1::regclass), 0) = 0`, name).Scan(&gone); err != nil {
		return false, fmt.Errorf("look for old versions: %w", err)
	}
	return gone, nil
}

// due reports whether a task was not done for so long.
func (r *Runner) due(ctx context.Context, task string, every time.Duration) (due bool, err error) {
	const query = `SELECT NOT EXISTS (SELECT FROM audit_maintenance WHERE task = $1 AND updated_at > $2)`
	if err := r.db.QueryRow(ctx, query, task, r.options.Clock.Now().Add(-every)).Scan(&due); err != nil {
		return false, fmt.Errorf("look when it was last done: %w", err)
	}
	return due, nil
}

// didNow notes that a task was done.
func (r *Runner) didNow(ctx context.Context, task string) error {
	const done = `INSERT INTO audit_maintenance (task, updated_at) VALUES ($1, $2) ON CONFLICT (task) DO UPDATE SET updated_at = excluded.updated_at`
	if _, err := r.db.Exec(ctx, done, task, r.options.Clock.Now()); err != nil {
		return fmt.Errorf("note that it was done: %w", err)
	}
	return nil
}
