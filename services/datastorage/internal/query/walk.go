package query

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/schema"
)

// A walk answers a query whose filter no index serves. It looks at events in the
// order of the answer until the page is full, its time is over or the span ends.
// The database hands over keys; the events of a page are read behind them.

// key is the place of an event that matches.
type key struct {
	at time.Time
	id uuid.UUID
}

// stretch is what a walk found.
type stretch struct {
	keys []key
	// next is where the walk goes on; nil at the end of the span.
	next *cursor
}

// walk answers with one page.
func (f *find) walk(ctx context.Context, tx pgx.Tx, q *Finder, emit Emit) (*Page, error) {
	begin := q.clock.Now()
	from := cursor{skip: f.offset}
	if f.cursor != nil {
		from = *f.cursor
	}
	found, scan, err := f.search(ctx, tx, from, q)
	if err != nil {
		return nil, err
	}
	skipped := min(from.skip, len(found.keys))
	page := &Page{Limit: f.limit, Offset: f.offset}
	var last key
	var full bool
	page.Events, full, err = f.read(ctx, tx, found.keys[skipped:], q.pageBytes, func(s *Stored) error {
		last = key{s.Place, s.ID}
		return emit(s)
	})
	if err != nil {
		return nil, err
	}
	next := found.next
	if full {
		next = &cursor{at: last.at, id: last.id}
	}
	page.Total = from.found + skipped + page.Events
	rest := f.step - q.clock.Since(begin)
	if next == nil {
		page.Total, page.TotalIsLowerBound = min(page.Total, MaxTotal), page.Total > MaxTotal
	} else {
		page.HasMore, page.ScannedUntil = true, &next.at
		next.span, next.skip = f.span, from.skip-skipped
		next.scan = scan
		next.found = min(page.Total, MaxTotal)
		if page.NextCursor, err = f.cursorText(*next); err != nil {
			return nil, err
		}
		if err := f.countMatches(ctx, tx, page, full, rest); err != nil {
			return nil, err
		}
	}
	if page.Events > 0 || f.cursor != nil || f.offset > 0 {
		return page, nil
	}
	return page, f.checkDetail(ctx, tx, rest)
}

// late holds for the events that a statement comes to after its time.
const late = "clock_timestamp() > statement_timestamp() + $%d::interval"

// least is the least time for a statement: less is not worth the round trip.
const least = 10 * time.Millisecond

// inOrder is a table of the events that an index leads to, in the order of the
// answer. OFFSET keeps the filter out of it: a partition whose events do not match
// must not be searched to its end before the next one has its turn.
func (f *find) inOrder(c *conditions) string {
	return fmt.Sprintf("(SELECT *, %s AS place FROM audit_events%s ORDER BY %s %s OFFSET 0) AS e", schema.SortTime, c.where(), schema.SortTime, f.order) //nolint:unqueryvet // the statement around it names the columns
}

// look finds the keys of at most most events.
func (f *find) look(ctx context.Context, tx pgx.Tx, most int, limit time.Duration) (stretch, error) {
	var keys []key
	c := f.conditions()
	if f.cursor != nil {
		var err error
		if keys, err = f.sameTime(ctx, tx, f.cursor, most); err != nil {
			return stretch{}, err
		}
		if len(keys) == most {
			return stretch{keys: keys, next: behind(keys)}, nil
		}
		c.add(schema.SortTime+" "+f.order.beyond()+" %s", f.cursor.at)
	}
	most -= len(keys)
	more, stopped, err := f.until(ctx, tx, c, most, limit)
	if err != nil {
		return stretch{}, err
	}
	switch {
	case stopped != nil:
		// Some of the events at this time were looked at, and not in the order of their ids.
		more = before(more, *stopped)
		return stretch{keys: append(keys, more...), next: &cursor{at: *stopped, all: true}}, nil
	case len(more) < most:
		return stretch{keys: append(keys, more...)}, nil
	}
	cut := &cursor{at: more[most-1].at, all: true}
	keys = append(keys, before(more, cut.at)...)
	most -= len(before(more, cut.at))
	rest, err := f.sameTime(ctx, tx, cut, most)
	if err != nil {
		return stretch{}, err
	}
	keys = append(keys, rest...)
	if len(rest) == 0 { // they were dropped meanwhile
		return stretch{keys: keys, next: cut}, nil
	}
	return stretch{keys: keys, next: behind(keys)}, nil
}

// behind is the place behind the last key.
func behind(keys []key) *cursor {
	last := keys[len(keys)-1]
	return &cursor{at: last.at, id: last.id}
}

// before are the keys before the first one of a time.
func before(keys []key, at time.Time) []key {
	if i := slices.IndexFunc(keys, func(k key) bool { return k.at.Equal(at) }); i >= 0 {
		return keys[:i]
	}
	return keys
}

// until finds keys in order, and where its time was over.
func (f *find) until(ctx context.Context, tx pgx.Tx, c *conditions, most int, limit time.Duration) (keys []key, stopped *time.Time, err error) {
	c.args = append(c.args, limit, most)
	over := fmt.Sprintf(late, len(c.args)-1)
	sql := fmt.Sprintf("SELECT place, event_id, %s FROM %s WHERE (%s) OR %s LIMIT $%d", over, f.inOrder(c), f.filter.all(), over, len(c.args))
	rows, err := tx.Query(ctx, sql, c.args...)
	if err != nil {
		return nil, nil, fmt.Errorf("look for events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var over bool
		if err := rows.Scan(&k.at, &k.id, &over); err != nil {
			return nil, nil, fmt.Errorf("look for events: %w", err)
		}
		if over {
			stopped = &k.at
			break
		}
		keys = append(keys, k)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("look for events: %w", err)
	}
	f.sort(keys)
	return keys, stopped, nil
}

// sameTime finds keys of the cursor's time, and behind its id unless it goes on with all.
func (f *find) sameTime(ctx context.Context, tx pgx.Tx, from *cursor, most int) ([]key, error) {
	c := f.conditions()
	c.add(schema.SortTime+" = %s", from.at)
	if !from.all {
		c.add("event_id "+f.order.beyond()+" %s", from.id)
	}
	c.clauses = append(c.clauses, f.filter.clauses...)
	c.args = append(c.args, most)
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s, event_id FROM audit_events%s ORDER BY event_id %s LIMIT $%d",
		schema.SortTime, c.where(), f.order, len(c.args)), c.args...)
	if err != nil {
		return nil, fmt.Errorf("look for events of one time: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k key, err error) {
		return k, row.Scan(&k.at, &k.id)
	})
	if err != nil {
		return nil, fmt.Errorf("look for events of one time: %w", err)
	}
	return keys, nil
}

// sort puts keys into the order of the answer.
func (f *find) sort(keys []key) {
	slices.SortFunc(keys, f.compare)
}

func (f *find) compare(a, b key) int {
	if f.order == Descending {
		a, b = b, a
	}
	if c := a.at.Compare(b.at); c != 0 {
		return c
	}
	return bytes.Compare(a.id[:], b.id[:])
}

// read hands on the events of keys, as far as they fit on a page.
func (f *find) read(ctx context.Context, tx pgx.Tx, keys []key, pageBytes int, emit Emit) (events int, full bool, err error) {
	if len(keys) == 0 {
		return 0, false, nil
	}
	keys = keys[:min(len(keys), f.limit+1)]
	ids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		ids[i] = k.id
	}
	//nolint:unqueryvet // the columns are named around the inner statement
	rows, err := tx.Query(ctx, `SELECT `+Columns+` FROM unnest($1::timestamptz[], $2::uuid[]) WITH ORDINALITY AS k (id_of, id, position),
		LATERAL (SELECT * FROM audit_events WHERE id_time = id_of AND event_id = id OFFSET 0) AS e ORDER BY position`, IDTimes(ids), ids)
	if err != nil {
		return 0, false, fmt.Errorf("read events: %w", err)
	}
	if events, full, err = collect(rows, f.limit, pageBytes, emit); err != nil {
		return 0, false, fmt.Errorf("read events: %w", err)
	}
	return events, full, nil
}

// countMatches finds the total where a full page left time for it.
func (f *find) countMatches(ctx context.Context, tx pgx.Tx, page *Page, full bool, limit time.Duration) error {
	page.TotalIsLowerBound = true
	page.Total = min(page.Total, MaxTotal)
	if !full || limit < least {
		return nil
	}
	c := f.indexed(f.filter.args)
	c.args = append(c.args, limit)
	over := fmt.Sprintf(late, len(c.args))
	sql := fmt.Sprintf("SELECT count(*) FILTER (WHERE NOT over), coalesce(bool_or(over), false) FROM (SELECT %s AS over FROM %s WHERE (%s) OR %s LIMIT %d) AS matches",
		over, f.inOrder(c), f.filter.all(), over, MaxTotal+1)
	var total int
	var outOfTime bool
	if err := tx.QueryRow(ctx, sql, c.args...).Scan(&total, &outOfTime); err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	page.TotalIsLowerBound = outOfTime || total > MaxTotal
	page.Total = min(max(page.Total, total), MaxTotal)
	return nil
}
