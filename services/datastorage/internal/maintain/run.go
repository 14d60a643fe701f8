package maintain

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/hold"
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
	// Room is what there is of partitions; zero if the run did not look.
	Room schema.Room
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
	// Erasures that were carried out or refused.
	Erasures []erasure.Done
	// ErasedAgain is the number of events that had come back and were erased again, HeldAgain
	// that of those that a legal hold keeps.
	ErasedAgain, HeldAgain int64
	// Scrubbed are the tables from which old versions of erased events were removed.
	Scrubbed []string
	// Postponed are the partitions of which none were, because a legal hold was placed or released meanwhile.
	Postponed []string
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

// part is a part of a run.
type part struct {
	name string
	do   func(context.Context, *Report) error
}

// Run does all there is to do. Its error is ErrBusy if another run is at work.
// What was done before an error stays done, and is in the report.
func (r *Runner) Run(ctx context.Context) (report Report, err error) {
	return r.run(ctx, []part{
		{"make partitions", r.partitions},
		// Strays come before completion: a copy that was begun must not get older than its events.
		{"move strays", r.strays},
		{"list partitions", r.room},
		{"complete events", r.complete},
		{"erase events", r.erase},
		{"erase events that came back", r.eraseAgain},
		{"build indexes", r.indexes},
		{"count events", r.count},
		{"remove expired events", r.retain},
		{"remove old versions of erased events", r.scrub},
		{"analyze", r.analyze},
		// It comes last: all there is to do is done beside a malformed hold.
		{"respect legal holds", r.unusableHolds},
	})
}

// run takes the lease for some parts.
func (r *Runner) run(ctx context.Context, parts []part) (report Report, err error) {
	if r.lease, err = r.take(ctx); err != nil {
		return report, err
	}
	defer r.release(ctx, r.lease)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go r.keep(ctx, r.lease, stop)
	// A run that was killed may have left partitions closed, in which no other part could change a row.
	parts = append([]part{{"open partitions", r.open}}, parts...)
	for _, p := range parts {
		if err := p.do(ctx, &report); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return report, fmt.Errorf("%s: %w", p.name, err)
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

func (r *Runner) open(ctx context.Context, _ *Report) error {
	return schema.NewPartitions(r.db).Open(ctx, r.holds) //nolint:wrapcheck // says all there is
}

// unusableHolds returns an error if nothing is removed or erased because of a malformed hold.
func (r *Runner) unusableHolds(ctx context.Context, _ *Report) error {
	return r.reading(ctx, func(tx pgx.Tx) error {
		holds, err := hold.Read(ctx, tx)
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		return holds.Unusable()
	})
}

func (r *Runner) partitions(ctx context.Context, report *Report) error {
	done, err := schema.NewPartitions(r.db).Ensure(ctx, r.options.Clock.Now())
	report.Partitions = append(report.Partitions, done.Made...)
	return err //nolint:wrapcheck // says all there is
}

func (r *Runner) room(ctx context.Context, report *Report) (err error) {
	report.Room, err = schema.NewPartitions(r.db).Room(ctx, r.options.Clock.Now())
	return err //nolint:wrapcheck // says all there is
}

func (r *Runner) strays(ctx context.Context, report *Report) error {
	p := schema.NewPartitions(r.db)
	months, err := p.StrayMonths(ctx, r.db, r.options.Clock.Now())
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	moved, err := p.MoveStrays(ctx, schema.Moving{Months: months, Slice: r.options.Slice, Check: r.holds, Between: r.between})
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	report.Moved += moved
	for _, month := range months {
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
	const task = "analyze"
	due, err := r.due(ctx, task, analyzeEvery)
	// The statistics of all partitions together may name what was erased.
	if err != nil || !due && len(report.Scrubbed) == 0 {
		return err
	}
	if _, err := r.db.Exec(ctx, `ANALYZE audit_events`); err != nil {
		return fmt.Errorf("analyze audit_events: %w", err)
	}
	if err := r.didNow(ctx, task); err != nil {
		return err
	}
	report.Analyzed = true
	return nil
}
