package schema

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Executor is a connection or a pool.
type Executor interface {
	Beginner
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// index is an index of the partitions of audit_events.
type index struct {
	// name of the index of audit_events that the partitions' indexes belong to;
	// for one of complete partitions only, the end of their names.
	name string
	// definition is what follows ON <table>.
	definition string
}

const (
	// ProducerStart holds for the first events of an epoch of a producer. Only this
	// spelling finds the index ProducerStarts.
	ProducerStart = "producer_seq <= 10"
	// ProducerStarts is the name of that index.
	ProducerStarts = "audit_events_by_producer_start"
)

// every are the indexes of every partition. Each one costs ingest.
var every = []index{
	{"audit_events_by_correlation_sorted", `(correlation_id, (` + SortTime + `))`},
	{"audit_events_by_sort_time", `((` + SortTime + `))`},
	{"audit_events_by_batch", `USING brin (batch_id) WITH (pages_per_range = 16)`},
	{ProducerStarts, `(producer_id, received_at, event_id) WHERE ` + ProducerStart},
}

// complete are the indexes of partitions that are written no more, except by
// strays. They make the other filters of a query quick.
var complete = []index{
	{"error_code", `(error_code) WHERE error_code IS NOT NULL`},
	{"parent", `(parent_event_id) WHERE parent_event_id IS NOT NULL`},
	{"kinds", `USING brin (` + bloom("event_type", 64) + bloom("event_category", 32) + bloom("event_action", 64) + bloom("severity", 16) +
		bloom("actor_id", 128) + bloom("recorded_by", 32) + bloom("producer_id", 128) + bloom("resource_type", 32) +
		bloom("namespace", 128) + bloom("cluster_id", 32) + `resource_id text_bloom_ops (n_distinct_per_range = 1024)) WITH (pages_per_range = 128)`},
	{"data", `USING gin (event_data jsonb_path_ops) WITH (fastupdate = off)`},
	{"receipt", `USING brin (received_at)`},
}

// bloom is a column of an index that tells which stretches of a table have a value,
// for about this many different ones in a stretch.
func bloom(column string, values int) string {
	return fmt.Sprintf("%s text_bloom_ops (n_distinct_per_range = %d), ", column, values)
}

// superseded are indexes that only programs of version 1 use.
var superseded = []string{"audit_events_by_correlation", "audit_events_by_time"}

// supersededAfter is how long they stay after the migration: until the last such
// program is replaced.
const supersededAfter = time.Hour

// Indexes builds indexes while the tables are in use.
type Indexes struct{ db Executor }

// NewIndexes makes the indexes of a database's audit_events.
func NewIndexes(db Executor) *Indexes { return &Indexes{db: db} }

// Build is an index that is missing, or of no use any more.
type Build struct {
	Table, Index string
	// Drop: the index is to be removed.
	Drop bool

	parent, definition string
}

// Missing returns what is to be built by now: the indexes of every partition, and
// those of complete ones. When none is missing, it returns what can be dropped.
// With a zero time, no partition is complete.
func (x *Indexes) Missing(ctx context.Context, now time.Time) ([]Build, error) {
	partitions, err := x.partitions(ctx)
	if err != nil {
		return nil, err
	}
	var missing []Build
	for _, p := range partitions {
		for _, i := range every {
			found, err := x.attached(ctx, i.name, p)
			if err != nil {
				return nil, err
			}
			if !found {
				missing = append(missing, Build{Table: p, Index: p + strings.TrimPrefix(i.name, table), parent: i.name, definition: i.definition})
			}
		}
		if !isComplete(p, now) {
			continue
		}
		for _, i := range complete {
			name := p + "_by_" + i.name
			found, err := x.valid(ctx, name)
			if err != nil {
				return nil, err
			}
			if !found {
				missing = append(missing, Build{Table: p, Index: name, definition: i.definition})
			}
		}
	}
	if len(missing) > 0 || now.IsZero() {
		return missing, nil
	}
	return x.droppable(ctx, now)
}

// Do builds or drops one index. Reads and writes go on meanwhile.
func (x *Indexes) Do(ctx context.Context, b Build) error {
	name := pgx.Identifier{b.Index}.Sanitize()
	if b.Drop {
		return NewPartitions(x.db).transaction(ctx, `DROP INDEX IF EXISTS `+name)
	}
	valid, err := x.valid(ctx, b.Index)
	if err != nil {
		return err
	}
	if !valid {
		// An interrupted build leaves an invalid index.
		if _, err := x.db.Exec(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+name); err != nil {
			return fmt.Errorf("drop the rest of index %s: %w", b.Index, err)
		}
		if _, err := x.db.Exec(ctx, `CREATE INDEX CONCURRENTLY `+name+` ON `+pgx.Identifier{b.Table}.Sanitize()+` `+b.definition); err != nil {
			return fmt.Errorf("build index %s: %w", b.Index, err)
		}
	}
	if b.parent == "" {
		return nil
	}
	return NewPartitions(x.db).transaction(ctx, `ALTER INDEX `+pgx.Identifier{b.parent}.Sanitize()+` ATTACH PARTITION `+name)
}

// Ensure builds the indexes of every partition, and returns their names.
func (x *Indexes) Ensure(ctx context.Context) ([]string, error) {
	missing, err := x.Missing(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	var built []string
	for _, b := range missing {
		if err := x.Do(ctx, b); err != nil {
			return built, err
		}
		built = append(built, b.Index)
	}
	return built, nil
}

func (x *Indexes) partitions(ctx context.Context) ([]string, error) {
	rows, err := x.db.Query(ctx, `SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid
		WHERE inhparent = 'audit_events'::regclass ORDER BY relname`)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return names, nil
}

// attached reports whether a partition has its part of an index of audit_events.
func (x *Indexes) attached(ctx context.Context, parent, partition string) (found bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
		WHERE inhparent = to_regclass($1) AND indrelid = to_regclass($2) AND indisvalid)`
	if err := x.db.QueryRow(ctx, query, parent, partition).Scan(&found); err != nil {
		return false, fmt.Errorf("look for index %s of %s: %w", parent, partition, err)
	}
	return found, nil
}

func (x *Indexes) valid(ctx context.Context, name string) (found bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indisvalid)`
	if err := x.db.QueryRow(ctx, query, name).Scan(&found); err != nil {
		return false, fmt.Errorf("look for index %s: %w", name, err)
	}
	return found, nil
}

// droppable are the superseded indexes, once nobody needs them.
func (x *Indexes) droppable(ctx context.Context, now time.Time) ([]Build, error) {
	rows, err := x.db.Query(ctx, `SELECT relname::text FROM pg_class WHERE oid IN (SELECT to_regclass(n) FROM unnest($1::text[]) AS n)
		AND EXISTS (SELECT FROM `+versionTable+` WHERE version_id = 2 AND is_applied AND tstamp::timestamptz < $2) ORDER BY relname`,
		superseded, now.Add(-supersededAfter))
	if err != nil {
		return nil, fmt.Errorf("look for superseded indexes: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for superseded indexes: %w", err)
	}
	var drops []Build
	for _, name := range names {
		drops = append(drops, Build{Table: table, Index: name, Drop: true})
	}
	return drops, nil
}
