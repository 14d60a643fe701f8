package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The months around now that have a partition of their own; what lies outside
// goes to the default partition.
const (
	monthsBehind = 1
	monthsAhead  = 3
)

// table is the partitioned table of events.
const table = "audit_events"

const monthLayout = table + "_y2006m01"

// firstMonth is the first month that gets a partition when its events arrive: ids
// with an earlier time do not come from a clock.
var firstMonth = time.Date(2015, time.January, 1, 0, 0, 0, 0, time.UTC)

// settled is how long after its month a partition counts as complete.
const settled = 24 * time.Hour

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
			return report, fmt.Errorf("make partition %s: %w", MonthName(month), err)
		}
		if made {
			report.Made = append(report.Made, MonthName(month))
		}
		if kept {
			report.Kept = append(report.Kept, MonthName(month))
		}
	}
	return report, nil
}

// Room is what there is of partitions.
type Room struct {
	// Months is how many months have a partition.
	Months int
	// Until is the first time from now on whose month has none: events behind it wait in the default partition.
	Until time.Time
}

// Room tells which months have a partition.
func (p *Partitions) Room(ctx context.Context, now time.Time) (Room, error) {
	var names []string
	const query = `SELECT array_agg(relname::text) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'audit_events'::regclass`
	if err := p.db.QueryRow(ctx, query).Scan(&names); err != nil {
		return Room{}, fmt.Errorf("list the partitions: %w", err)
	}
	has := map[time.Time]bool{}
	for _, name := range names {
		if month, err := time.Parse(monthLayout, name); err == nil {
			has[month] = true
		}
	}
	found := Room{Months: len(has), Until: time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)}
	for has[found.Until] {
		found.Until = found.Until.AddDate(0, 1, 0)
	}
	return found, nil
}

// IsStray reports whether the time of an id lies outside the months that have a
// partition in advance. Such an event waits in the default partition until
// maintenance makes one for its month.
func IsStray(at, now time.Time) bool {
	months := func(t time.Time) int { t = t.UTC(); return 12*t.Year() + int(t.Month()) } //nolint:mnd // months of a year
	distance := months(at) - months(now)
	return distance < -monthsBehind || distance > monthsAhead
}

// MonthName is the name of a month's partition.
func MonthName(month time.Time) string {
	return month.Format(monthLayout)
}

// CompleteBefore returns the time before which all partitions of months are complete.
func CompleteBefore(now time.Time) time.Time {
	now = now.UTC().Add(-settled)
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// isComplete reports whether the month of a partition has ended.
func isComplete(partition string, now time.Time) bool {
	month, err := time.Parse(monthLayout, partition)
	return err == nil && !month.AddDate(0, 1, 0).Add(settled).After(now)
}

func (p *Partitions) ensureMonth(ctx context.Context, month time.Time) (made, kept bool, err error) {
	for range attempts {
		found, err := p.find(ctx, month)
		if err != nil || found.exists || found.strays {
			return false, err == nil && !found.exists && found.strays, err
		}
		err = p.makeMonth(ctx, month)
		switch {
		case err == nil:
			return true, false, nil
		case hasCode(err, codeCheckViolation):
			return false, true, nil
		case hasCode(err, codeDuplicateTable, codeDuplicateObject, codeUndefinedObject, codeUniqueViolation, codeLockNotAvailable):
			// Another process is at it: look again.
		default:
			return false, false, err
		}
	}
	found, err := p.find(ctx, month)
	if err == nil && !found.exists {
		err = fmt.Errorf("disturbed %d times by others", attempts)
	}
	return false, false, err
}

// found is what there is of a month: a partition, or events in the default one.
type found struct{ exists, strays bool }

func (p *Partitions) find(ctx context.Context, month time.Time) (found, error) {
	var f found
	const query = `SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = 'audit_events'::regclass AND inhrelid = to_regclass($1)),
		EXISTS (SELECT 1 FROM audit_events_default WHERE id_time >= $2 AND id_time < $3)`
	if err := p.db.QueryRow(ctx, query, MonthName(month), month, month.AddDate(0, 1, 0)).Scan(&f.exists, &f.strays); err != nil {
		return found{}, fmt.Errorf("look for the partition: %w", err)
	}
	return f, nil
}

// roomPrefix begins the names of the constraints that keep the events of a month
// out of the default partition while the month's own is made.
const roomPrefix = "audit_events_default_room_"

// cleanupTimeout bounds the removal of a constraint after a failure.
const cleanupTimeout = 5 * time.Second

// makeMonth attaches a table that it made before, because attaching lets inserts
// into other months go on where CREATE TABLE ... PARTITION OF stops them. Before
// that, PostgreSQL looks through the default partition for events of the month: a
// constraint that was validated before lets it do so without a lock that stops
// inserts and queries. An event of that month that arrives meanwhile violates the
// constraint, which IsMakingRoom tells.
func (p *Partitions) makeMonth(ctx context.Context, month time.Time) (err error) {
	name, room := pgx.Identifier{MonthName(month)}.Sanitize(), pgx.Identifier{month.Format(roomPrefix + "y2006m01")}.Sanitize()
	from, to := bounds(month)
	drop := `ALTER TABLE audit_events_default DROP CONSTRAINT IF EXISTS ` + room
	err = p.transaction(ctx, `ALTER TABLE audit_events_default ADD CONSTRAINT `+room+
		` CHECK (NOT (id_time IS NOT NULL AND id_time >= '`+from+`' AND id_time < '`+to+`')) NOT VALID`)
	if err != nil && !hasCode(err, codeDuplicateObject) { // left behind, or another process makes the month
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
			defer cancel()
			err = errors.Join(err, p.transaction(ctx, drop))
		}
	}()
	validate := `ALTER TABLE audit_events_default VALIDATE CONSTRAINT ` + room
	attach := []string{`ALTER TABLE audit_events ATTACH PARTITION ` + name + ` FOR VALUES FROM ('` + from + `') TO ('` + to + `')`, drop}
	if err := p.transaction(ctx, validate); err != nil {
		return err
	}
	return p.transaction(ctx, append(p.create(name), attach...)...)
}

// create makes a table that can become a partition. It has the owner of
// audit_events, whoever makes it.
func (p *Partitions) create(name string) []string {
	return []string{
		`CREATE TABLE ` + name + ` (LIKE audit_events INCLUDING ALL)`,
		`DO $$ BEGIN EXECUTE format('ALTER TABLE ` + name + ` OWNER TO %I', (SELECT relowner::regrole FROM pg_class WHERE oid = 'audit_events'::regclass)); END $$`,
		`CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON ` + name + ` FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()`,
	}
}

// bounds are those of a month's partition, in SQL.
func bounds(month time.Time) (from, to string) {
	const bound = "2006-01-02 15:04:05+00"
	return month.Format(bound), month.AddDate(0, 1, 0).Format(bound)
}

// LockTimeout bounds the wait for one lock, in PostgreSQL's form.
const LockTimeout = "3s"

// ExplainLock adds to an error about a lock how to find the session that has it.
func ExplainLock(err error) error {
	if !hasCode(err, codeLockNotAvailable) {
		return err
	}
	return fmt.Errorf("%w (waited %s): another session has a table locked: find it with "+
		"SELECT pid, relation::regclass FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted, wait for its end or end it, and run this again", err, LockTimeout)
}

// Begin starts a transaction that sees in each statement what was committed before it,
// whatever default_transaction_isolation says: with another level, what has waited for
// the lock row of holds and removals would see the holds of before its wait.
const Begin = `BEGIN ISOLATION LEVEL READ COMMITTED`

// beginBriefly starts a transaction for whose locks nobody waits long.
const beginBriefly = Begin + `; SET LOCAL lock_timeout = '` + LockTimeout + `'; SET LOCAL idle_in_transaction_session_timeout = '5s'`

// transaction runs statements. Nobody waits long behind their wait for a lock.
func (p *Partitions) transaction(ctx context.Context, statements ...string) error {
	return p.checked(ctx, func(context.Context, pgx.Tx) error { return nil }, statements...)
}

// checked runs statements, unless the check fails.
func (p *Partitions) checked(ctx context.Context, check Check, statements ...string) error {
	err := pgx.BeginTxFunc(ctx, p.db, pgx.TxOptions{BeginQuery: beginBriefly}, func(tx pgx.Tx) error {
		if err := check(ctx, tx); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.40s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make a month: %w", err)
	}
	return nil
}

// IsMakingRoom reports whether an event was refused because the partition of its
// month is being made. It is welcome a moment later.
func IsMakingRoom(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == codeCheckViolation && strings.HasPrefix(refused.ConstraintName, roomPrefix)
}

// IsForbidden reports whether the database role lacks the right to make partitions.
func IsForbidden(err error) bool { return hasCode(err, codeInsufficientRight) }
