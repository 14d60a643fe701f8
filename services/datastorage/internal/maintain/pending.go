package maintain

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/schema"
)

// Pending is what the next run has to do.
type Pending struct {
	// Months of which the default partition has events.
	Months []time.Time
	// Indexes to build or drop.
	Indexes []string
	// Uncounted is the number of events in batches that the rollup does not have.
	Uncounted int64
	// Erasures is the number of requests that wait.
	Erasures int64
	// Expired are the events that retention removes, by partition.
	Expired []Removal
}

// Pending looks for work without doing it, and without the lease. It waits for a
// lock as long as a run does. Its error may be that of a malformed hold, beside all there is to do.
func (r *Runner) Pending(ctx context.Context) (p Pending, err error) {
	err = r.pending(ctx, &p)
	return p, schema.ExplainLock(err) //nolint:wrapcheck // says all there is
}

func (r *Runner) pending(ctx context.Context, p *Pending) error {
	now := r.options.Clock.Now()
	err := r.reading(ctx, func(tx pgx.Tx) (err error) {
		if p.Months, err = schema.NewPartitions(r.db).StrayMonths(ctx, within{tx}, now); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		if err := tx.QueryRow(ctx, `SELECT coalesce(sum(events), 0) FROM audit_batches WHERE NOT rolled_up`).Scan(&p.Uncounted); err != nil {
			return fmt.Errorf("look for batches: %w", err)
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM audit_requests WHERE finished_at IS NULL`).Scan(&p.Erasures); err != nil {
			return fmt.Errorf("look for erasures: %w", err)
		}
		missing, err := schema.NewIndexes(within{tx}).Missing(ctx, now)
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		for _, b := range missing {
			p.Indexes = append(p.Indexes, b.Index)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = r.eachDue(ctx, false, func(s *survey) error {
		p.Expired = append(p.Expired, s.Removal)
		return nil
	})
	if err != nil {
		return err
	}
	return r.unusableHolds(ctx, nil)
}

// within lets the schema be read in a transaction.
type within struct{ pgx.Tx }

// BeginTx implements schema.Beginner.
func (w within) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) {
	return w.Begin(ctx) //nolint:wrapcheck // the caller says what
}
