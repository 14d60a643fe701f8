package maintain

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/schema"
)

// maxBatches bounds the batches that are counted in one transaction.
const maxBatches = 500

// count adds the events of batches that were not counted to the rollup. A batch is
// marked in the transaction that counts it, so that each is counted once, whenever
// it was committed.
func (r *Runner) count(ctx context.Context, report *Report) error {
	for {
		more := false
		err := r.slice(ctx, func(ctx context.Context, tx pgx.Tx) error {
			batches, events, err := r.uncounted(ctx, tx)
			if err != nil || len(batches) == 0 {
				return err
			}
			counted, err := countBatches(ctx, tx, batches)
			if err != nil {
				return err
			}
			more = true
			report.Counted += counted
			report.Uncounted += events - counted
			return nil
		})
		if err != nil {
			return fmt.Errorf("add to audit_rollup: %w", err)
		}
		if !more {
			return nil
		}
		if err := r.between(); err != nil {
			return err
		}
	}
}

// uncounted returns batches with at most a slice of events together, or one batch.
func (r *Runner) uncounted(ctx context.Context, tx pgx.Tx) (batches []int64, events int64, err error) {
	rows, err := tx.Query(ctx, `SELECT batch_id, events FROM audit_batches WHERE NOT rolled_up ORDER BY batch_id LIMIT $1`, maxBatches)
	if err != nil {
		return nil, 0, fmt.Errorf("look for batches: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, n int64
		if err := rows.Scan(&id, &n); err != nil {
			return nil, 0, fmt.Errorf("look for batches: %w", err)
		}
		if len(batches) > 0 && events+n > int64(r.options.Slice) {
			break
		}
		batches, events = append(batches, id), events+n
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("look for batches: %w", err)
	}
	return batches, events, nil
}

func countBatches(ctx context.Context, tx pgx.Tx, batches []int64) (counted int64, err error) {
	// The bounds let the BRIN index find the pages once for all batches.
	const add = `WITH counts AS (
			SELECT date_trunc('minute', ` + schema.SortTime + `) AS minute, event_type, event_outcome,
				coalesce(severity, '') AS severity, coalesce(namespace, '') AS namespace, count(*) AS events
			FROM audit_events WHERE batch_id BETWEEN $2 AND $3 AND batch_id = ANY ($1) GROUP BY 1, 2, 3, 4, 5
		), added AS (
			INSERT INTO audit_rollup AS r (minute, event_type, event_outcome, severity, namespace, events) SELECT * FROM counts
			ON CONFLICT (minute, event_type, event_outcome, severity, namespace) DO UPDATE SET events = r.events + excluded.events
		)
		SELECT coalesce(sum(events), 0)::bigint FROM counts`
	if err := tx.QueryRow(ctx, add, batches, batches[0], batches[len(batches)-1]).Scan(&counted); err != nil {
		return 0, fmt.Errorf("count the events of %d batches: %w", len(batches), err)
	}
	if _, err := tx.Exec(ctx, `UPDATE audit_batches SET rolled_up = true WHERE batch_id = ANY ($1)`, batches); err != nil {
		return 0, fmt.Errorf("mark %d batches: %w", len(batches), err)
	}
	return counted, nil
}
