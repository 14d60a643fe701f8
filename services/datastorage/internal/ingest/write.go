package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

const (
	// retries of a transaction that PostgreSQL gave up for another's sake.
	retries    = 8
	retryAfter = 5 * time.Millisecond
)

// write settles jobs. Jobs that contradict each other do not share a
// transaction: the older one is stored, and the other meets it there.
func (w *Writer) write(ctx context.Context, jobs []*job) {
	now := w.options.Clock.Now()
	for _, j := range jobs {
		w.options.Metrics.Waited(now.Sub(j.queued))
	}
	for len(jobs) > 0 {
		var g *group
		g, jobs = together(jobs)
		w.writeGroup(ctx, g)
	}
}

// writeGroup settles jobs that agree with each other.
func (w *Writer) writeGroup(ctx context.Context, g *group) {
	how := w.copyOnly
	if w.recent.has(g.events) {
		how = w.copyNew
	}
	for attempt := 0; len(g.jobs) > 0; {
		err := w.transaction(ctx, g, how)
		var stopped *conflicted
		switch {
		case err == nil:
			w.recent.add(g.events)
			w.options.Metrics.Claimed(g.claimed())
			settle(g.jobs, nil)
			return
		case errors.As(err, &stopped):
			g, _ = together(stopped.settle(g.jobs))
		case isTaken(err) && attempt < retries:
			// Stored before, or by another server at this moment.
			w.recent.expect()
			how = w.copyNew
			attempt++
		case isSerialization(err) && attempt < retries:
			attempt++
			w.options.Metrics.Retried()
			w.pause(ctx, time.Duration(attempt)*retryAfter)
		case isData(err), schema.IsMakingRoom(err):
			// A month that gets its partition holds up the requests with its events, not those beside them.
			w.isolate(ctx, g)
			return
		default:
			settle(g.jobs, &UnavailableError{Err: err})
			return
		}
		g.reset()
	}
}

// isolate settles a group of which the database refuses something, for good or for
// now: in halves, down to the job that is to blame, of which every event is tried.
func (w *Writer) isolate(ctx context.Context, g *group) {
	if half := len(g.jobs) / 2; half > 0 {
		for _, jobs := range [][]*job{g.jobs[:half], g.jobs[half:]} {
			part, _ := together(jobs)
			w.writeGroup(ctx, part)
		}
		return
	}
	g.reset()
	err := w.transaction(ctx, g, w.copyValid)
	var stopped *conflicted
	switch j := g.jobs[0]; {
	case err == nil:
		j.settle(nil)
	case errors.Is(err, errInvalid):
		j.settle(errInvalid)
	case errors.As(err, &stopped):
		j.settle(errConflict)
	default:
		j.settle(&UnavailableError{Err: err})
	}
}

func settle(jobs []*job, err error) {
	for _, j := range jobs {
		j.settle(err)
	}
}

func (w *Writer) pause(ctx context.Context, d time.Duration) {
	timer := w.options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// storer stores a group in one transaction, sets its outcomes, and returns the
// position of the log after the commit.
type storer func(ctx context.Context, conn *pgx.Conn, g *group) (position []string, err error)

// transaction stores a group and sets its jobs' outcomes and token.
func (w *Writer) transaction(ctx context.Context, g *group, how storer) error {
	ctx, span := w.span(ctx, g)
	defer span.End()
	err := w.try(ctx, g, how)
	if err != nil && !isTaken(err) {
		span.SetStatus(codes.Error, code(err)) // the text may have values
		w.options.Failed(err)
	}
	return err
}

func (w *Writer) try(ctx context.Context, g *group, how storer) error {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	start := w.options.Clock.Now()
	position, err := how(ctx, conn.Conn(), g)
	if err != nil {
		return err
	}
	w.options.Metrics.Committed(len(g.events), w.options.Clock.Since(start))
	token, err := consistency.PositionOf(position)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	for _, j := range g.jobs {
		j.token = token.String()
	}
	return nil
}

// batch makes a batch of events.
func (w *Writer) batch(ctx context.Context, conn *pgx.Conn, events []*event.Event) (*batch, error) {
	id, err := w.ids.Next(ctx, conn)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	return &batch{id: id, at: w.options.Clock.Now(), events: events}, nil
}

// copyOnly stores new events, in one round trip. It fails if one was stored before.
func (w *Writer) copyOnly(ctx context.Context, conn *pgx.Conn, g *group) ([]string, error) {
	b, err := w.batch(ctx, conn, g.events)
	if err != nil {
		return nil, err
	}
	position, err := database.StoreOnce(ctx, conn, w.options.Timeout, consistency.PositionQuery, b.rows(0), b.row())
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	g.create()
	return position, g.assign()
}

// isTaken reports whether an id was stored before.
func isTaken(err error) bool { return code(err) == "23505" }

// isData reports whether PostgreSQL refuses what the rows hold: data exceptions
// (class 22), integrity constraints (23), and program limits (54).
func isData(err error) bool {
	if schema.IsMakingRoom(err) || isTaken(err) {
		return false
	}
	const class = 2
	switch c := code(err); c[:min(len(c), class)] {
	case "22", "23", "54":
		return true
	default:
		return false
	}
}

// isSerialization reports whether the transaction was fine, but gave way to another.
func isSerialization(err error) bool {
	return schema.IsMakingRoom(err) || code(err) == "40001" || code(err) == "40P01"
}

// code is PostgreSQL's code of an error, empty for other errors.
func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// isStandby reports whether the server refuses to tell its log's position
// because it replays another's (object_not_in_prerequisite_state).
func isStandby(err error) bool { return code(err) == "55000" }
