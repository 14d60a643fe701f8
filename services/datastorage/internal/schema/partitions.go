package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The months around now that have a partition of their own; what lies outside
// goes to the default partition.
const (
	monthsBehind = 1
	monthsAhead  = 3
)

// attempts at a month whose making was disturbed by another process.
const attempts = 3

// Beginner starts transactions: a connection or a pool.
type Beginner interface {
	Querier
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Partitions makes room for events ahead of their time. Where and how rows are
// kept apart is known here alone.
type Partitions struct{ db Beginner }

// NewPartitions makes the partitions of a database's audit_events.
func NewPartitions(db Beginner) *Partitions { return &Partitions{db: db} }

// Report says what Ensure found.
type Report struct {
	// Made are the partitions that it made.
	Made []string
	// Kept are months whose events are in the default partition already, and stay there.
	Kept []string
}

// Ensure makes the partitions that events around now need. Any number of
// processes may call it at once. Events are taken and found without it as well,
// so its failure is no reason to stop.
func (p *Partitions) Ensure(ctx context.Context, now time.Time) (Report, error) {
	var report Report
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for n := -monthsBehind; n <= monthsAhead; n++ {
		month := first.AddDate(0, n, 0)
		made, kept, err := p.ensureMonth(ctx, month)
		if err != nil {
			return report, fmt.Errorf("make partition %s: %w", monthName(month), err)
		}
		if made {
			report.Made = append(report.Made, monthName(month))
		}
		if kept {
			report.Kept = append(report.Kept, monthName(month))
		}
	}
	return report, nil
}

func monthName(month time.Time) string {
	return month.Format("audit_events_y2006m01")
}

func (p *Partitions) ensureMonth(ctx context.Context, month time.Time) (made, kept bool, err error) {
	for range attempts {
		exists, err := p.exists(ctx, month)
		if err != nil || exists {
			return false, false, err
		}
		err = p.makeMonth(ctx, month)
		switch {
		case err == nil:
			return true, false, nil
		case hasCode(err, codeCheckViolation):
			return false, true, nil
		case hasCode(err, codeDuplicateTable, codeUniqueViolation, codeLockNotAvailable):
			// Another process is at it: look again.
		default:
			return false, false, err
		}
	}
	exists, err := p.exists(ctx, month)
	if err == nil && !exists {
		err = fmt.Errorf("disturbed %d times by others", attempts)
	}
	return false, false, err
}

func (p *Partitions) exists(ctx context.Context, month time.Time) (bool, error) {
	var exists bool
	const query = `SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = 'audit_events'::regclass AND inhrelid = to_regclass($1))`
	if err := p.db.QueryRow(ctx, query, monthName(month)).Scan(&exists); err != nil {
		return false, fmt.Errorf("look for the partition: %w", err)
	}
	return exists, nil
}

// makeMonth attaches a table that it made before, because attaching lets
// inserts into other months go on where CREATE TABLE ... PARTITION OF stops
// them. What reads or writes the default partition waits while PostgreSQL looks
// through it for events of the month.
func (p *Partitions) makeMonth(ctx context.Context, month time.Time) error {
	const bound = "2006-01-02 15:04:05+00"
	name := pgx.Identifier{monthName(month)}.Sanitize()
	from, to := month.Format(bound), month.AddDate(0, 1, 0).Format(bound)
	err := pgx.BeginTxFunc(ctx, p.db, pgx.TxOptions{}, func(tx pgx.Tx) error {
		for _, statement := range []string{
			// Nobody waits long behind the wait for these locks.
			`SET LOCAL lock_timeout = '3s'`,
			`CREATE TABLE ` + name + ` (LIKE audit_events INCLUDING ALL)`,
			`ALTER TABLE audit_events ATTACH PARTITION ` + name + ` FOR VALUES FROM ('` + from + `') TO ('` + to + `')`,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.30s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("attach a month: %w", err)
	}
	return nil
}

// IsForbidden reports whether the database role lacks the right to make partitions.
func IsForbidden(err error) bool { return hasCode(err, codeInsufficientRight) }
