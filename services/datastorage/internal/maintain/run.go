package maintain

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Options of a Runner.
type Options struct {
	// Holder names this process; no other may have the same name.
	Holder string
	// Slice bounds the rows of one transaction.
	Slice int
	// RetentionFloor is the number of days that every event is kept for.
	RetentionFloor int
	// Retention of the events that runs record.
	Retention event.Retention
	Clock     clock.WithTicker
	// Between, optional, is called after each slice. An error ends the run.
	Between func() error
}

// Report says what a run did.
type Report struct {
	// Partitions that were made.
	Partitions []string
	// Indexes that were built or dropped.
	Indexes []string
	// Moved is the number of strays that were moved into a partition of their month.
	Moved int64
	// Completed is the number of events that got a commitment or a batch.
	Completed int64
	// Counted is the number of events that were added to the rollup. Uncounted are
	// those of its batches that are gone.
	Counted, Uncounted int64
	// Removed are the partitions of which events were removed.
	Removed []Removal
	// Analyzed: the planner has new statistics.
	Analyzed bool
}

// Runner maintains one database. It is used by one goroutine.
type Runner struct {
	db      *pgxpool.Pool
	options Options
	batches schema.BatchIDs
	lease   *lease
	decoder *event.Decoder
}

// New makes a Runner that uses two connections of a pool. Its role is a member of the owner of the tables.
func New(db *pgxpool.Pool, o Options) *Runner {
	limits := event.DefaultLimits()
	limits.Retention = o.Retention
	return &Runner{db: db, options: o, decoder: event.NewDecoder(limits, o.Clock, rand.Reader)}
}

// Run does all there is to do. Its error is ErrBusy if another run is at work.
// What was done before an error stays done, and is in the report.
func (r *Runner) Run(ctx context.Context) (report Report, err error) {
	if r.lease, err = r.take(ctx); err != nil {
		return report, err
	}
	defer r.release(ctx, r.lease)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go r.keep(ctx, r.lease, stop)
	for _, step := range []struct {
		name string
		do   func(context.Context, *Report) error
	}{
		// Strays come before completion: a copy that was begun must not get older than its events.
		{"make partitions", r.partitions},
		{"move strays", r.strays},
		{"complete events", r.complete},
		{"build indexes", r.indexes},
		{"count events", r.count},
		{"remove expired events", r.retain},
		{"analyze", r.analyze},
	} {
		if err := step.do(ctx, &report); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return report, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return report, nil
}

func (r *Runner) between() error {
	if r.options.Between == nil {
		return nil
	}
	return r.options.Between()
}

func (r *Runner) partitions(ctx context.Context, report *Report) error {
	done, err := schema.NewPartitions(r.db).Ensure(ctx, r.options.Clock.Now())
	report.Partitions = append(report.Partitions, done.Made...)
	return err //nolint:wrapcheck // says all there is
}

func (r *Runner) strays(ctx context.Context, report *Report) error {
	p := schema.NewPartitions(r.db)
	months, err := p.StrayMonths(ctx, r.db, r.options.Clock.Now())
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	for _, month := range months {
		moved, err := p.MoveStrays(ctx, month, r.options.Slice, func() error {
			if err := ctx.Err(); err != nil {
				return err //nolint:wrapcheck // the cause is found by Run
			}
			return r.between()
		})
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		report.Moved += moved
		report.Partitions = append(report.Partitions, schema.MonthName(month))
	}
	return nil
}

func (r *Runner) indexes(ctx context.Context, report *Report) error {
	x := schema.NewIndexes(r.db)
	missing, err := x.Missing(ctx, r.options.Clock.Now())
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	for _, b := range missing {
		if err := x.Do(ctx, b); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		report.Indexes = append(report.Indexes, b.Index)
		if err := r.between(); err != nil {
			return err
		}
	}
	return nil
}

// analyzeEvery is how often the planner gets statistics of all partitions
// together, which autovacuum does not collect.
const analyzeEvery = 24 * time.Hour

func (r *Runner) analyze(ctx context.Context, report *Report) error {
	var due bool
	const query = `SELECT NOT EXISTS (SELECT FROM audit_maintenance WHERE task = 'analyze' AND updated_at > $1)`
	if err := r.db.QueryRow(ctx, query, r.options.Clock.Now().Add(-analyzeEvery)).Scan(&due); err != nil {
		return fmt.Errorf("look when it was last done: %w", err)
	}
	if !due {
		return nil
	}
	if _, err := r.db.Exec(ctx, `ANALYZE audit_events`); err != nil {
		return fmt.Errorf("analyze audit_events: %w", err)
	}
	const done = `INSERT INTO audit_maintenance (task, updated_at) VALUES ('analyze', $1) ON CONFLICT (task) DO UPDATE SET updated_at = excluded.updated_at`
	if _, err := r.db.Exec(ctx, done, r.options.Clock.Now()); err != nil {
		return fmt.Errorf("note that it was done: %w", err)
	}
	report.Analyzed = true
	return nil
}
