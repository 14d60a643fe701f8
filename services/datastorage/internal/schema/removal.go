package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// stagingSuffix ends the name of the table that takes a partition's place.
	stagingSuffix = "_kept"
	// closedSuffix ends the name of the constraint that keeps events out of a partition
	// whose events are being removed; IsMakingRoom tells an event that it refuses.
	closedSuffix = "retention"
)

// IsComplete reports whether a partition is that of a month that has ended.
func IsComplete(partition string, now time.Time) bool { return isComplete(partition, now) }

// Check returns an error, within a transaction, if another process has taken over, and
// keeps others from doing so until the transaction ends.
type Check func(ctx context.Context, tx pgx.Tx) error

// CloseMonth keeps events out of the partition of a month, until Open, and makes the
// empty table that takes its place. Events of the month that arrive meanwhile are
// welcome a moment later.
func (p *Partitions) CloseMonth(ctx context.Context, partition string, check Check) (staging string, err error) {
	name, room := pgx.Identifier{partition}.Sanitize(), pgx.Identifier{roomPrefix + closedSuffix}.Sanitize()
	staging = partition + stagingSuffix
	to := pgx.Identifier{staging}.Sanitize()
	if err := p.checked(ctx, check, append([]string{`DROP TABLE IF EXISTS ` + to}, p.create(to)...)...); err != nil {
		return "", err
	}
	return staging, p.checked(ctx, check, `ALTER TABLE `+name+` ADD CONSTRAINT `+room+` CHECK (false) NOT VALID`)
}

// Open lets events into the partitions that CloseMonth and MoveStrays closed, and
// removes the tables that CloseMonth made. A closed partition takes no changed row
// either: nothing in it can be completed or erased.
func (p *Partitions) Open(ctx context.Context, check Check) error {
	var statements []string
	err := p.db.QueryRow(ctx, `SELECT coalesce(array_agg(statement), '{}') FROM (
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS statement
			FROM pg_constraint JOIN pg_inherits ON inhrelid = conrelid WHERE inhparent = 'audit_events'::regclass AND conname = ANY ($1)
		UNION ALL SELECT format('DROP TABLE %s', oid::regclass) FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname ~ $2) AS s`,
		[]string{roomPrefix + closedSuffix, closedDefault}, `^audit_events_y[0-9]{4}m[0-9]{2}`+stagingSuffix+`$`).Scan(&statements)
	if err != nil {
		return fmt.Errorf("look for closed partitions: %w", err)
	}
	for _, statement := range statements {
		if err := p.checked(ctx, check, statement); err != nil {
			return err
		}
	}
	return nil
}

// ReplaceMonth drops a closed partition within a transaction. The table from
// CloseMonth takes its place if it has events.
func ReplaceMonth(ctx context.Context, tx pgx.Tx, partition, staging string, kept bool) error {
	name, from := pgx.Identifier{partition}.Sanitize(), pgx.Identifier{staging}.Sanitize()
	month, err := time.Parse(monthLayout, partition)
	if err != nil {
		return fmt.Errorf("partition %q is not that of a month", partition)
	}
	begin, end := bounds(month)
	// The parent's lock comes first, as for every statement that stores an event.
	statements := []string{`ALTER TABLE audit_events DETACH PARTITION ` + name, `DROP TABLE ` + name}
	if kept {
		statements = append(statements, `ALTER TABLE `+from+` RENAME TO `+name,
			`ALTER TABLE audit_events ATTACH PARTITION `+name+` FOR VALUES FROM ('`+begin+`') TO ('`+end+`')`)
	} else {
		statements = append(statements, `DROP TABLE `+from)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}
