package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/schema"
)

const (
	// dropAt is the share of a month's events that have expired before its partition
	// is dropped; the others move to a new one, which costs as much as they are.
	dropAt = 0.95
	// surveyTimeout bounds a statement that reads a partition.
	surveyTimeout = 10 * time.Minute
	// surveyEvery is how often a partition is read whose events come in any order.
	surveyEvery = 24 * time.Hour
)

// expiry is when an event expires; %d is the placeholder of the floor in days.
const expiry = `received_at + greatest(retention_days, $%d) * interval '24 hours'`

// errHoldsChanged means that a hold was placed or released while events were selected.
var errHoldsChanged = errors.New("the legal holds changed meanwhile")

// Removal is what retention removes, or has removed, of a partition.
type Removal struct {
	Partition string
	// Removed events have expired, Kept ones stay. Held are those of the Kept that have expired, and that a legal hold keeps.
	Removed, Kept, Held int64
}

// survey is what a partition has.
type survey struct {
	Removal

	// due is when enough events have expired, nil without an event that can.
	due *time.Time
}

// plan is kept from run to run, so that a partition is read only when it is due.
type plan struct {
	Due   *time.Time `json:"due"`
	Floor int        `json:"floor"`
	Holds string     `json:"holds"`
}

// retain removes events whose retention is over and that no legal hold keeps.
func (r *Runner) retain(ctx context.Context, report *Report) error {
	p := schema.NewPartitions(r.db)
	return r.eachDue(ctx, true, func(s *survey) error {
		var removed Removal
		var err error
		if isMonth(s.Partition) {
			removed, err = r.replace(ctx, p, s)
		} else {
			removed, err = r.sweep(ctx, s.Partition)
		}
		if removed.Removed > 0 {
			report.Removed = append(report.Removed, removed)
		}
		if errors.Is(err, errHoldsChanged) {
			report.Postponed = append(report.Postponed, s.Partition)
			return nil // the next run selects again
		}
		if err != nil {
			return fmt.Errorf("partition %s: %w", s.Partition, err)
		}
		return nil
	})
}

func isMonth(partition string) bool { return strings.HasPrefix(partition, "audit_events_y") }

// eachDue calls do for each partition of which something is to be removed. It keeps
// when the others are due.
func (r *Runner) eachDue(ctx context.Context, keep bool, do func(*survey) error) error {
	rows, err := r.db.Query(ctx, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_events'::regclass ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	partitions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	now := r.options.Clock.Now()
	for _, partition := range partitions {
		if isMonth(partition) && !schema.IsComplete(partition, now) {
			continue
		}
		s, err := r.survey(ctx, partition, now, keep)
		if err != nil {
			return fmt.Errorf("partition %s: %w", partition, err)
		}
		if s.due == nil || s.due.After(now) {
			continue
		}
		if err := do(s); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether nothing is due by a plan that was made under the same conditions.
func (p *plan) holds(floor int, holds string, now time.Time) bool {
	return p.Floor == floor && p.Holds == holds && (p.Due == nil || p.Due.After(now))
}

// survey reads a partition, unless a survey before told when it is due. It keeps
// what it found for the next run.
func (r *Runner) survey(ctx context.Context, partition string, now time.Time, keep bool) (s *survey, err error) {
	s = &survey{Removal: Removal{Partition: partition}}
	err = r.reading(ctx, func(tx pgx.Tx) error {
		holds, err := hold.Read(ctx, tx)
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		var last plan
		task := "retention " + partition
		var fresh bool
		err = tx.QueryRow(ctx, `SELECT state, updated_at > $2 FROM audit_maintenance WHERE task = $1`, task, now.Add(-surveyEvery)).Scan(&last, &fresh)
		switch {
		case err == nil && last.holds(r.options.RetentionFloor, holds.Version, now) && (fresh || isMonth(partition) && last.Due != nil):
			s.due = last.Due
			return nil
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("read the plan: %w", err)
		}
		share := dropAt
		if !isMonth(partition) {
			share = 0 // its events are deleted one by one
		}
		condition, args, err := holds.Matches([]any{r.options.RetentionFloor, now, share})
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		query := `SELECT count(*) FILTER (WHERE NOT held AND expiry <= $2), count(*) FILTER (WHERE held OR expiry > $2),
			count(*) FILTER (WHERE held AND expiry <= $2), percentile_disc($3::double precision) WITHIN GROUP (ORDER BY expiry) FILTER (WHERE NOT held)
			FROM (SELECT ` + fmt.Sprintf(expiry, 1) + ` AS expiry, ` + condition + ` AS held FROM ` + partition + `) AS e`
		if err := tx.QueryRow(ctx, query, args...).Scan(&s.Removed, &s.Kept, &s.Held, &s.due); err != nil {
			return fmt.Errorf("look for expired events: %w", err)
		}
		if !keep {
			return nil
		}
		state, err := json.Marshal(plan{Due: s.due, Floor: r.options.RetentionFloor, Holds: holds.Version})
		if err != nil {
			return fmt.Errorf("encode the plan: %w", err)
		}
		const insert = `INSERT INTO audit_maintenance (task, state, updated_at) VALUES ($1, $2, $3)
			ON CONFLICT (task) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at`
		if _, err := tx.Exec(ctx, insert, task, string(state), now); err != nil {
			return fmt.Errorf("keep the plan: %w", err)
		}
		return nil
	})
	return s, err
}

// reading is a transaction that may read a partition.
func (r *Runner) reading(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, r.db, pgx.TxOptions{BeginQuery: schema.Begin}, func(tx pgx.Tx) error { //nolint:wrapcheck // the caller says what
		const limit = `SELECT set_config('lock_timeout', '` + schema.LockTimeout + `', true), set_config('statement_timeout', $1, true)`
		if _, err := tx.Exec(ctx, limit, strconv.FormatInt(surveyTimeout.Milliseconds(), 10)); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
		return do(tx)
	})
}

// replace drops the partition of a month. The events that stay are copied to a new
// one before, which nobody reads until it takes the place of the other.
func (r *Runner) replace(ctx context.Context, p *schema.Partitions, s *survey) (removed Removal, err error) {
	staging, err := p.CloseMonth(ctx, s.Partition, r.holds)
	if err != nil {
		return Removal{}, err //nolint:wrapcheck // says all there is
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, p.Open(ctx, r.holds))
		}
	}()
	if err := r.between(); err != nil {
		return Removal{}, err
	}
	holds, kept, err := r.stage(ctx, s.Partition, staging)
	if err != nil {
		return Removal{}, err
	}
	removed = Removal{Partition: s.Partition, Kept: kept, Held: s.Held}
	err = r.reading(ctx, func(tx pgx.Tx) error { // no event arrives any more
		return tx.QueryRow(ctx, `SELECT count(*) - $1 FROM `+s.Partition, kept).Scan(&removed.Removed)
	})
	if err != nil {
		return Removal{}, fmt.Errorf("count the events: %w", err)
	}
	if err := r.swap(ctx, &removed, staging, holds); err != nil {
		return Removal{}, err
	}
	return removed, r.between()
}

// stage copies the events that stay, in slices, and returns the holds by which it selected them.
func (r *Runner) stage(ctx context.Context, from, to string) (holds *hold.InForce, kept int64, err error) {
	now := r.options.Clock.Now()
	for {
		var copied int64
		err := r.reading(ctx, func(tx pgx.Tx) (err error) {
			if err := r.holds(ctx, tx); err != nil {
				return err
			}
			if holds == nil {
				if holds, err = hold.Read(ctx, tx); err != nil {
					return err //nolint:wrapcheck // says all there is
				}
			}
			copied, err = r.copyKept(ctx, tx, from, to, holds, now)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		kept += copied
		if err := r.between(); err != nil || copied < int64(r.options.Slice) {
			return holds, kept, err
		}
	}
}

// swap lets the table of the events that stay take the place of a partition, unless
// the holds are others than those by which they were selected.
func (r *Runner) swap(ctx context.Context, removed *Removal, staging string, holds *hold.InForce) error {
	return r.slice(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// A hold that is answered after this waits for the end of the transaction.
		if err := hold.Lock(ctx, tx); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		current, err := hold.Read(ctx, tx)
		if err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		if current.Version != holds.Version {
			return errHoldsChanged
		}
		if err := schema.ReplaceMonth(ctx, tx, removed.Partition, staging, removed.Kept > 0); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		if _, err := tx.Exec(ctx, `DELETE FROM audit_maintenance WHERE task = $1`, "retention "+removed.Partition); err != nil {
			return fmt.Errorf("forget the plan: %w", err)
		}
		return r.record(ctx, tx, removed)
	})
}

// copyKept copies the next events that stay.
func (r *Runner) copyKept(ctx context.Context, tx pgx.Tx, from, to string, holds *hold.InForce, now time.Time) (int64, error) {
	condition, args, err := holds.Matches([]any{r.options.RetentionFloor, now, r.options.Slice})
	if err != nil {
		return 0, err //nolint:wrapcheck // says all there is
	}
	//nolint:unqueryvet // all columns are moved
	done, err := tx.Exec(ctx, `INSERT INTO `+to+` SELECT e.* FROM `+from+` AS e
		WHERE (id_time, event_id) > (SELECT coalesce(max(id_time), '-infinity'),
			coalesce((SELECT event_id FROM `+to+` ORDER BY id_time DESC, event_id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000') FROM `+to+`)
		AND (`+fmt.Sprintf(expiry, 1)+` > $2 OR `+condition+`) ORDER BY id_time, event_id LIMIT $3`, args...)
	if err != nil {
		return 0, fmt.Errorf("copy the events that stay: %w", err)
	}
	return done.RowsAffected(), nil
}

// sweep deletes the expired events of a partition that has no month, in slices.
func (r *Runner) sweep(ctx context.Context, partition string) (all Removal, err error) {
	all.Partition = partition
	for {
		removed := Removal{Partition: partition}
		err := r.slice(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if err := hold.Lock(ctx, tx); err != nil {
				return err //nolint:wrapcheck // says all there is
			}
			holds, err := hold.Read(ctx, tx)
			if err != nil {
				return err //nolint:wrapcheck // says all there is
			}
			condition, args, err := holds.Matches([]any{r.options.RetentionFloor, r.options.Clock.Now(), r.options.Slice})
			if err != nil {
				return err //nolint:wrapcheck // says all there is
			}
			done, err := tx.Exec(ctx, `DELETE FROM `+partition+` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+partition+`
				WHERE `+fmt.Sprintf(expiry, 1)+` <= $2 AND NOT `+condition+` LIMIT $3))`, args...)
			if err != nil {
				return fmt.Errorf("delete expired events: %w", err)
			}
			if removed.Removed = done.RowsAffected(); removed.Removed == 0 {
				return nil
			}
			return r.record(ctx, tx, &removed)
		})
		if err != nil {
			return all, err
		}
		all.Removed += removed.Removed
		if err := r.between(); err != nil || removed.Removed < int64(r.options.Slice) {
			return all, err
		}
	}
}

// record stores the event about a removal.
func (r *Runner) record(ctx context.Context, tx pgx.Tx, removed *Removal) error {
	now := r.options.Clock.Now()
	made, err := ownevent.Make(r.decoder, &ownevent.Event{
		ID: uuid.Must(uuid.NewV7()), Type: Expired, Action: "remove", At: now, Outcome: audit.OutcomeSuccess, CorrelationID: removed.Partition,
		ActorType: "service", ActorID: ownevent.RecordedBy, ResourceType: "partition", ResourceID: removed.Partition,
		Data: expired{Partition: removed.Partition, Removed: removed.Removed, Kept: removed.Kept, Held: removed.Held, FloorDays: r.options.RetentionFloor},
	})
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	return ingest.Append(ctx, tx, &r.batches, now, []*event.Event{made}...) //nolint:wrapcheck // says what failed
}
