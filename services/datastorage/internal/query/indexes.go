package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubernaut.ai/services/datastorage/internal/schema"
)

// The indexes of complete partitions find a value that is rare, or not there, at
// once. They are asked for all matches there, and a walk looks at the rest. Common
// values have too many matches: the walk finds them soon enough.
const (
	// maxIndexed bounds the matches in complete partitions.
	maxIndexed = 1000
	// indexShare is the part of a step that the indexes may take.
	indexShare = 3
)

// search finds keys by the indexes of complete partitions and a walk through the
// others. With scan, the indexes were of no use.
func (f *find) search(ctx context.Context, tx pgx.Tx, from cursor, q *Finder) (found stretch, scan bool, err error) {
	begin := q.clock.Now()
	most := from.skip + f.limit + 1
	if !f.filter.served || f.correlationID != "" || from.scan {
		found, err = f.look(ctx, tx, most, f.step)
		return found, from.scan, err
	}
	open := schema.CompleteBefore(begin)
	old, ok, err := f.inComplete(ctx, tx, open, f.step/indexShare)
	if err != nil {
		return stretch{}, false, err
	}
	if ok {
		f.open = &open
	}
	found, err = f.look(ctx, tx, most, max(f.step-q.clock.Since(begin), least))
	if err != nil {
		return stretch{}, false, err
	}
	return f.merge(found, old), !ok, nil
}

// merge adds the keys of complete partitions, as far as the walk came.
func (f *find) merge(found stretch, old []key) stretch {
	if next := found.next; next != nil {
		old = slices.DeleteFunc(old, func(k key) bool {
			return f.compare(k, key{next.at, next.id}) > 0 || next.all && k.at.Equal(next.at)
		})
	}
	found.keys = append(found.keys, old...)
	f.sort(found.keys)
	return found
}

// inComplete finds all keys in complete partitions that follow the cursor, unless
// there are many, or it takes long.
func (f *find) inComplete(ctx context.Context, tx pgx.Tx, open time.Time, limit time.Duration) (keys []key, ok bool, err error) {
	c := f.indexed(f.filter.args)
	c.add("id_time < %s", open)
	switch from := f.cursor; {
	case from == nil:
	case from.all:
		c.add(schema.SortTime+" "+f.order.beyond()+"= %s", from.at)
	default:
		c.add("("+schema.SortTime+", event_id) "+f.order.beyond()+" (%s, %s)", from.at, from.id)
	}
	c.clauses = append(c.clauses, f.filter.clauses...)
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("begin to ask indexes: %w", err)
	}
	keys, err = askIndexes(ctx, inner, c, limit)
	// The settings end with the savepoint.
	if back := inner.Rollback(ctx); back != nil {
		return nil, false, fmt.Errorf("end to ask indexes: %w", errors.Join(err, back))
	}
	const canceled = "57014"
	if timedOut, is := errors.AsType[*pgconn.PgError](err); is && timedOut.Code == canceled && ctx.Err() == nil {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask indexes: %w", err)
	}
	if len(keys) > maxIndexed {
		return nil, false, nil
	}
	return keys, true, nil
}

func askIndexes(ctx context.Context, tx pgx.Tx, c *conditions, limit time.Duration) ([]key, error) {
	settings := fmt.Sprintf(`SELECT set_config('statement_timeout', '%d', true), set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true)`,
		max(limit.Milliseconds(), 1))
	if _, err := tx.Exec(ctx, settings); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s, event_id FROM audit_events%s LIMIT %d", schema.SortTime, c.where(), maxIndexed+1), c.args...)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k key, err error) { //nolint:wrapcheck // wrapped by the caller
		return k, row.Scan(&k.at, &k.id)
	})
}

// conditions are those of a walk's part of the trail; their placeholders follow
// those of the filter.
func (f *find) conditions() *conditions {
	c := f.indexed(f.filter.args)
	if f.open != nil {
		c.add("id_time >= %s", *f.open)
	}
	return c
}
