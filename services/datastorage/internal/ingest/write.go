package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// errVanished: an event that was in the way of an insert is gone again.
var errVanished = errors.New("a stored event vanished during the transaction")

// conflicted stops a transaction for the jobs in it that must not be stored.
type conflicted struct{ jobs map[*job]struct{} }

func (c *conflicted) Error() string { return fmt.Sprintf("%d requests conflict", len(c.jobs)) }

// write settles jobs. Jobs that contradict each other do not share a
// transaction: the older one is stored, and the other meets it there.
func (w *Writer) write(ctx context.Context, jobs []*job) {
	now := w.options.Clock.Now()
	for _, j := range jobs {
		w.options.Metrics.Waited(now.Sub(j.queued))
	}
	for len(jobs) > 0 {
		var group []*job
		group, jobs = compatible(jobs)
		w.writeGroup(ctx, group)
	}
}

// compatible splits off the jobs that contradict an older one.
func compatible(jobs []*job) (group, rest []*job) {
	if len(jobs) == 1 {
		return jobs, nil
	}
	claims := map[uuid.UUID]event.Digest{}
next:
	for _, j := range jobs {
		for _, e := range j.events {
			if digest, claimed := claims[e.ID]; claimed && digest != e.Digest {
				rest = append(rest, j)
				continue next
			}
		}
		for _, e := range j.events {
			claims[e.ID] = e.Digest
		}
		group = append(group, j)
	}
	return group, rest
}

// writeGroup settles jobs that agree with each other.
func (w *Writer) writeGroup(ctx context.Context, group []*job) {
	for attempt := 0; len(group) > 0; {
		err := w.transaction(ctx, group, insertAll)
		var stopped *conflicted
		switch {
		case err == nil:
			settle(group, nil)
			return
		case errors.As(err, &stopped):
			group = stopped.settle(group)
		case isSerialization(err) && attempt < retries:
			attempt++
			w.options.Metrics.Retried()
			w.pause(ctx, time.Duration(attempt)*retryAfter)
		case isData(err) && len(group) > 1:
			// Each for itself: the others are not to blame.
			for _, j := range group {
				w.writeGroup(ctx, []*job{j})
			}
			return
		case isData(err):
			w.writeSingly(ctx, group[0])
			return
		default:
			settle(group, &UnavailableError{Err: err})
			return
		}
	}
}

// writeSingly settles a job of which the database refuses something, an event
// at a time, to find out which.
func (w *Writer) writeSingly(ctx context.Context, j *job) {
	j.reasons = map[uuid.UUID]string{}
	err := w.transaction(ctx, []*job{j}, singly(j.reasons))
	var stopped *conflicted
	switch {
	case err == nil:
		settle([]*job{j}, nil)
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

// settle refuses the jobs that conflict and returns the others.
func (c *conflicted) settle(group []*job) []*job {
	var others []*job
	for _, j := range group {
		if _, conflicts := c.jobs[j]; conflicts {
			j.settle(errConflict)
			continue
		}
		others = append(others, j)
	}
	return others
}

func (w *Writer) pause(ctx context.Context, d time.Duration) {
	timer := w.options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// transaction stores the events of jobs and sets their outcome and token.
func (w *Writer) transaction(ctx context.Context, jobs []*job, insertEvents inserter) error {
	err := w.try(ctx, jobs, insertEvents)
	if err != nil {
		w.options.Failed(err)
	}
	return err
}

func (w *Writer) try(ctx context.Context, jobs []*job, insertEvents inserter) error {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	start := w.options.Clock.Now()
	events := distinct(jobs)
	tx, err := database.BeginWrite(ctx, conn.Conn(), w.options.Timeout)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	if err := store(ctx, tx, jobs, events, insertEvents); err != nil {
		_ = tx.Rollback(ctx) // a failure closes the connection
		return err
	}
	position, err := database.Commit(ctx, conn.Conn(), consistency.PositionQuery)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	w.options.Metrics.Committed(len(events), w.options.Clock.Since(start))
	token, err := consistency.PositionOf(position)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	for _, j := range jobs {
		j.token = token.String()
	}
	return nil
}

// store does the work of a transaction, up to its commit.
func store(ctx context.Context, tx pgx.Tx, jobs []*job, events []*event.Event, insertEvents inserter) error {
	outcomes, err := insertEvents(ctx, tx, events)
	if err != nil {
		return err
	}
	if err := assign(jobs, outcomes); err != nil {
		return err
	}
	for _, o := range outcomes {
		if o == created {
			return nil
		}
	}
	return database.Durable(ctx, tx) //nolint:wrapcheck // says what failed
}

// distinct returns the events of jobs that agree with each other, each id once.
func distinct(jobs []*job) []*event.Event {
	if len(jobs) == 1 {
		return jobs[0].events
	}
	var events []*event.Event
	seen := map[uuid.UUID]struct{}{}
	for _, j := range jobs {
		for _, e := range j.events {
			if _, again := seen[e.ID]; !again {
				seen[e.ID] = struct{}{}
				events = append(events, e)
			}
		}
	}
	order(events)
	return events
}

// assign gives each job its outcome. The first job with an id has created it,
// for the others it is a duplicate. It returns *conflicted or errInvalid
// when an all-or-nothing job cannot be stored.
func assign(jobs []*job, outcomes map[uuid.UUID]outcome) error {
	stopped := &conflicted{jobs: map[*job]struct{}{}}
	refused := false
	taken := map[uuid.UUID]struct{}{}
	for _, j := range jobs {
		j.outcome = make(map[uuid.UUID]outcome, len(j.events))
		for _, e := range j.events {
			o := outcomes[e.ID]
			if _, again := taken[e.ID]; again && o == created {
				o = duplicate
			}
			taken[e.ID] = struct{}{}
			j.outcome[e.ID] = o
			if !j.lenient && o == conflict {
				stopped.jobs[j] = struct{}{}
			}
			refused = refused || (!j.lenient && o == invalid)
		}
	}
	switch {
	case refused:
		return errInvalid
	case len(stopped.jobs) > 0:
		return stopped
	default:
		return nil
	}
}

// inserter stores events within a transaction and says what became of each.
type inserter func(ctx context.Context, tx pgx.Tx, events []*event.Event) (map[uuid.UUID]outcome, error)

func insertAll(ctx context.Context, tx pgx.Tx, events []*event.Event) (map[uuid.UUID]outcome, error) {
	found, err := tx.Query(ctx, insert, rows(events)...)
	if err != nil {
		return nil, fmt.Errorf("insert %d events: %w", len(events), err)
	}
	inserted, err := pgx.CollectRows(found, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("insert %d events: %w", len(events), err)
	}
	outcomes := make(map[uuid.UUID]outcome, len(events))
	for _, id := range inserted {
		outcomes[id] = created
	}
	if len(inserted) == len(events) {
		return outcomes, nil
	}
	return outcomes, compare(ctx, tx, events, outcomes)
}

// compare holds the events that were not inserted against those that are stored.
func compare(ctx context.Context, tx pgx.Tx, events []*event.Event, outcomes map[uuid.UUID]outcome) error {
	digests := map[uuid.UUID]event.Digest{}
	var missing []*event.Event
	for _, e := range events {
		if outcomes[e.ID] == 0 {
			missing = append(missing, e)
			digests[e.ID] = e.Digest
		}
	}
	found, err := tx.Query(ctx, stored, keys(missing)...)
	if err != nil {
		return fmt.Errorf("look %d events up: %w", len(missing), err)
	}
	var id uuid.UUID
	var digest []byte
	_, err = pgx.ForEachRow(found, []any{&id, &digest}, func() error {
		wanted := digests[id]
		outcomes[id] = conflict
		if string(wanted[:]) == string(digest) {
			outcomes[id] = duplicate
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look %d events up: %w", len(missing), err)
	}
	if len(outcomes) < len(events) {
		return errVanished
	}
	return nil
}

// singly inserts each event behind a savepoint and notes the reasons for which
// the database refuses one.
func singly(reasons map[uuid.UUID]string) inserter {
	return func(ctx context.Context, tx pgx.Tx, events []*event.Event) (map[uuid.UUID]outcome, error) {
		outcomes := make(map[uuid.UUID]outcome, len(events))
		for _, e := range events {
			err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
				one, err := insertAll(ctx, savepoint, []*event.Event{e})
				outcomes[e.ID] = one[e.ID]
				return err
			})
			var refused *pgconn.PgError
			switch {
			case isData(err) && errors.As(err, &refused):
				outcomes[e.ID] = invalid
				reasons[e.ID] = refused.Message
			case err != nil:
				return nil, fmt.Errorf("insert event %s: %w", e.ID, err)
			}
		}
		return outcomes, nil
	}
}

// isData reports whether PostgreSQL refuses what the rows hold: data exceptions
// (class 22), integrity constraints (23), and program limits (54).
func isData(err error) bool {
	if schema.IsMakingRoom(err) {
		return false
	}
	switch class(err) {
	case "22", "23", "54":
		return true
	default:
		return false
	}
}

// isSerialization reports whether the transaction was fine, but gave way to another.
func isSerialization(err error) bool {
	if schema.IsMakingRoom(err) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	return errors.Is(err, errVanished)
}

func class(err error) string {
	const length = 2
	var pg *pgconn.PgError
	if errors.As(err, &pg) && len(pg.Code) > length {
		return pg.Code[:length]
	}
	return ""
}

// isStandby reports whether the server refuses to tell its log's position
// because it replays another's (object_not_in_prerequisite_state).
func isStandby(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55000"
}
