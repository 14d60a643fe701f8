package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// ErrNotFound means that there is no event with this id.
var ErrNotFound = errors.New("no such event")

// UnavailableError means that the database did not answer.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "query events: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }

// Page is one answer, without its events.
type Page struct {
	// Events is how many the page has.
	Events        int
	Limit, Offset int
	// Total is how many events match; at least that many where TotalIsLowerBound.
	Total             int
	TotalIsLowerBound bool
	HasMore           bool
	// NextCursor is empty on the last page.
	NextCursor string
	// ScannedUntil is how far a search came that goes on: every event before it in
	// the order was looked at. Nil where an index led to the events.
	ScannedUntil *time.Time
}

// Finder answers queries. Its methods are safe for concurrent use.
type Finder struct {
	reads     *database.Reads
	clock     clock.PassiveClock
	gate      *consistency.Gate
	pageBytes int
	step      time.Duration
	turns     *turns
}

// Options of a Finder.
type Options struct {
	// PageBytes bounds the event data on a page that holds more than one event.
	PageBytes int
	// Step is how long a query looks at events that no index leads to; the next page goes on.
	Step time.Duration
	// Stored counts the events that were stored since the start: searches take
	// turns while there are many.
	Stored func() uint64
}

// New makes a Finder.
func New(reads *database.Reads, c clock.WithTicker, gate *consistency.Gate, o Options) *Finder {
	return &Finder{reads: reads, clock: c, gate: gate, pageBytes: o.PageBytes, step: o.Step, turns: newTurns(c, o.Stored)}
}

// find is a query that was checked.
type find struct {
	// correlationID, which an index serves; "" for all.
	correlationID string
	// filter are the conditions that no index serves.
	filter        *conditions
	order         Order
	span          span
	params        Params
	cursor        *cursor
	limit, offset int
	tokens        []consistency.Token
	// step is how long a walk may take.
	step time.Duration
	// open is the least id_time that a walk looks at: indexes answer for the partitions
	// before it. Nil where it looks at all.
	open *time.Time
	// others are the conditions but that of detail_key; detail are its paths.
	others *conditions
	detail []string
}

// prepare checks the parameters; what is wrong with them is a *ParamError.
func (p Params) prepare(now time.Time) (*find, error) {
	bad := &ParamError{}
	f := &find{
		order:  p.order(bad),
		span:   p.span(bad, now),
		limit:  number(bad, "limit", p.Limit, DefaultLimit, 1, MaxLimit),
		offset: number(bad, "offset", p.Offset, 0, 0, MaxOffset),
	}
	f.correlationID = p.CorrelationID
	checkText(bad, "correlation_id", p.CorrelationID, mostID)
	p.checkType(bad)
	f.others = p.filter(bad)
	f.filter, f.detail = p.withDetail(f.others, bad)
	f.tokens = parseTokens(p.AtLeast, bad)
	f.params = p
	if p.Cursor != "" {
		if err := f.useCursor(p, bad); err != nil {
			return nil, err
		}
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	return f, nil
}

// cursorText is the form in which a client gets a place.
func (f *find) cursorText(at cursor) (string, error) {
	var err error
	if at.query, err = f.params.fingerprint(f.order); err != nil {
		return "", fmt.Errorf("make a cursor: %w", err)
	}
	text, err := at.encode()
	if err != nil {
		return "", fmt.Errorf("make a cursor: %w", err)
	}
	return text, nil
}

func (f *find) useCursor(p Params, bad *ParamError) error {
	fingerprint, err := p.fingerprint(f.order)
	if err != nil {
		return fmt.Errorf("fingerprint of a query: %w", err)
	}
	if p.Offset != nil && *p.Offset != 0 {
		bad.refusef("offset", "does not go with cursor")
	}
	c, err := decodeCursor(p.Cursor, fingerprint)
	if err != nil {
		bad.refusef("cursor", "%v", err)
		return nil
	}
	f.cursor = &c
	f.span = c.span
	return nil
}

// Emit takes the events of a page, one after the other. An error ends the query,
// which returns it.
type Emit func(*Stored) error

// Find answers a query. Its errors are *ParamError, one that wraps
// consistency.ErrBehind, *UnavailableError, and that of emit.
func (q *Finder) Find(ctx context.Context, p Params, emit Emit) (*Page, error) {
	f, err := p.prepare(q.clock.Now())
	if err != nil {
		return nil, err
	}
	var page *Page
	if len(f.filter.clauses) == 0 && len(f.tokens) == 0 {
		page, err = f.once(ctx, q, emit)
		return f.checked(page, explain(err))
	}
	f.step = q.step
	if isShared(ctx) {
		f.step /= turnShare
	}
	err = q.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := q.gate.Await(ctx, tx, f.tokens); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		if len(f.filter.clauses) == 0 {
			page, err = f.run(ctx, tx, q.pageBytes, emit)
		} else {
			page, err = f.walk(ctx, tx, q, emit)
		}
		return err
	})
	return f.checked(page, explain(err))
}

// checked refuses a query that has found nothing, as far as its parameters are why.
func (f *find) checked(page *Page, err error) (*Page, error) {
	if err != nil || page.HasMore || page.Total > 0 {
		return page, err
	}
	bad := &ParamError{}
	if f.params.checkWhole(bad); len(bad.Fields) > 0 {
		return nil, bad
	}
	return page, nil
}

// explain returns one of the errors that Find has.
func explain(err error) error {
	var bad *ParamError
	var emitted *emitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		return bad
	case errors.Is(err, consistency.ErrBehind):
		return err
	case errors.As(err, &emitted):
		return emitted.cause
	default:
		return &UnavailableError{Err: err}
	}
}

// emitError is an error of the one who takes the events.
type emitError struct{ cause error }

func (e *emitError) Error() string { return e.cause.Error() }

func (f *find) run(ctx context.Context, tx pgx.Tx, pageBytes int, emit Emit) (*Page, error) {
	sql, args := f.pageQuery()
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	page, err := f.page(rows, pageBytes, emit)
	if err != nil {
		return nil, err
	}
	return page, f.count(ctx, tx, page)
}

// once answers as run does, in one round trip where the page holds everything.
func (f *find) once(ctx context.Context, q *Finder, emit Emit) (page *Page, err error) {
	sql, args := f.pageQuery()
	err = q.reads.Query(ctx, sql, args, func(rows pgx.Rows) (err error) {
		page, err = f.page(rows, q.pageBytes, emit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	if f.complete(page) {
		return page, nil
	}
	return page, q.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error { return f.count(ctx, tx, page) }) //nolint:wrapcheck // says all there is
}

// page hands on the events of a page.
func (f *find) page(rows pgx.Rows, pageBytes int, emit Emit) (page *Page, err error) {
	page = &Page{Limit: f.limit, Offset: f.offset}
	next := cursor{span: f.span}
	page.Events, page.HasMore, err = collect(rows, f.limit, pageBytes, func(s *Stored) error {
		next.at, next.id = s.Place, s.ID
		return emit(s)
	})
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	if page.HasMore {
		if page.NextCursor, err = f.cursorText(next); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// complete counts a page that holds everything.
func (f *find) complete(page *Page) bool {
	whole := f.cursor == nil && !page.HasMore && (page.Events > 0 || f.offset == 0)
	if whole {
		page.Total = f.offset + page.Events
	}
	return whole
}

// collect hands on the events of one page, at most limit of them, and with more
// than pageBytes of event data only where that is one event's.
func collect(rows pgx.Rows, limit, pageBytes int, emit Emit) (events int, more bool, err error) {
	defer rows.Close()
	from := newReader(rows)
	for size := 0; rows.Next(); events++ {
		if more = events == limit; more {
			break
		}
		stored, err := from.read()
		if err != nil {
			return 0, false, err
		}
		size += len(stored.Data)
		if more = events > 0 && size > pageBytes; more {
			break
		}
		if err := emit(&stored); err != nil {
			return 0, false, &emitError{err}
		}
	}
	rows.Close()
	return events, more, rows.Err() //nolint:wrapcheck // wrapped by the caller
}

// indexed are the conditions that an index serves; their placeholders follow those of args.
func (f *find) indexed(args []any) *conditions {
	c := &conditions{args: slices.Clone(args)}
	if f.correlationID != "" {
		c.add("correlation_id = %s", f.correlationID)
	}
	f.span.add(c)
	return c
}

// pageQuery asks for one event more than the page holds, to know whether there is more.
func (f *find) pageQuery() (sql string, args []any) {
	c := f.indexed(nil)
	if f.cursor != nil {
		c.add("("+schema.SortTime+", event_id) "+f.order.beyond()+" (%s, %s)", f.cursor.at, f.cursor.id)
	}
	sql = selectEvents + c.where() + fmt.Sprintf(" ORDER BY %s %s, event_id %s", schema.SortTime, f.order, f.order)
	if f.limit == DefaultLimit && f.offset == 0 { // usual, and a plan that knows it is better
		return sql + fmt.Sprintf(" LIMIT %d", f.limit+1), c.args
	}
	c.args = append(c.args, f.limit+1, f.offset)
	return sql + fmt.Sprintf(" LIMIT $%d OFFSET $%d", len(c.args)-1, len(c.args)), c.args
}

// count finds the total, up to MaxTotal. A page that holds everything needs no second query.
func (f *find) count(ctx context.Context, tx pgx.Tx, page *Page) error {
	seen := f.offset + page.Events
	if f.complete(page) {
		return nil
	}
	c := f.indexed(nil)
	// The order makes sure that an index leads to the events.
	sql := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM audit_events%s ORDER BY %s LIMIT %d) AS matches", c.where(), schema.SortTime, MaxTotal+1)
	if err := tx.QueryRow(ctx, sql, c.args...).Scan(&page.Total); err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	if page.Total > MaxTotal {
		page.Total = MaxTotal
		page.TotalIsLowerBound = true
	}
	// More events may have been stored between the two queries, never fewer.
	if f.cursor == nil && page.Events > 0 {
		page.Total = max(page.Total, seen)
	}
	return nil
}

// Get reads one event, or returns ErrNotFound or an *UnavailableError.
func (q *Finder) Get(ctx context.Context, id uuid.UUID) (Stored, error) {
	var stored Stored
	err := q.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEvents+" WHERE id_time = $1 AND event_id = $2", schema.IDTime(event.IDTime(id)), id)
		if err != nil {
			return fmt.Errorf("get an event: %w", err)
		}
		if stored, err = pgx.CollectExactlyOneRow(rows, scan); err != nil {
			return fmt.Errorf("get an event: %w", err)
		}
		return nil
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Stored{}, ErrNotFound
	case err != nil:
		return Stored{}, &UnavailableError{Err: err}
	default:
		return stored, nil
	}
}

// FirstRecorder is the statement of the method of the same name. It reads the first
// entry of each partition's index.
const FirstRecorder = `SELECT coalesce(recorded_by, '') FROM audit_events WHERE producer_id = $1 AND ` + schema.ProducerStart + `
	ORDER BY received_at, event_id LIMIT 1`

// errNoIndex passes.
var errNoIndex = errors.New("the index of producers is being built")

// FirstRecorder returns who recorded the event at the start of one of a producer's
// epochs that was received first. An error is an *UnavailableError, also while a
// migration builds the index.
func (q *Finder) FirstRecorder(ctx context.Context, producerID string) (recorder string, found bool, err error) {
	err = q.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var built bool
		const valid = `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('` + schema.ProducerStarts + `') AND indisvalid)`
		if err := tx.QueryRow(ctx, valid).Scan(&built); err != nil {
			return fmt.Errorf("look for the index of producers: %w", err)
		}
		if !built {
			return errNoIndex
		}
		return tx.QueryRow(ctx, FirstRecorder, producerID).Scan(&recorder)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, &UnavailableError{Err: err}
	}
	return recorder, true, nil
}
