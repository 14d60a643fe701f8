package maintain

import (
	"context"
	"fmt"
	"time"

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

// Pending looks for work without doing it, and without the lease.
func (r *Runner) Pending(ctx context.Context) (p Pending, err error) {
	now := r.options.Clock.Now()
	if p.Months, err = schema.NewPartitions(r.db).StrayMonths(ctx, r.db, now); err != nil {
		return p, err //nolint:wrapcheck // says all there is
	}
	missing, err := schema.NewIndexes(r.db).Missing(ctx, now)
	if err != nil {
		return p, err //nolint:wrapcheck // says all there is
	}
	for _, b := range missing {
		p.Indexes = append(p.Indexes, b.Index)
	}
	if err := r.db.QueryRow(ctx, `SELECT coalesce(sum(events), 0) FROM audit_batches WHERE NOT rolled_up`).Scan(&p.Uncounted); err != nil {
		return p, fmt.Errorf("look for batches: %w", err)
	}
	if err := r.db.QueryRow(ctx, `SELECT count(*) FROM audit_requests WHERE finished_at IS NULL`).Scan(&p.Erasures); err != nil {
		return p, fmt.Errorf("look for erasures: %w", err)
	}
	err = r.eachDue(ctx, false, func(s *survey) error {
		p.Expired = append(p.Expired, s.Removal)
		return nil
	})
	return p, err
}
