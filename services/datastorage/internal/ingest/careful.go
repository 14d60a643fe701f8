package ingest

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// copyNew stores the events that were not stored before.
func (w *Writer) copyNew(ctx context.Context, conn *pgx.Conn, g *group) ([]string, error) {
	return w.careful(ctx, conn, g, func(_ pgx.Tx, b *batch) ([]string, error) {
		return database.StoreRest(ctx, conn, consistency.PositionQuery, b.rows(0), b.row())
	})
}

// copyValid does the same with those that the database takes, and finds out which it refuses.
func (w *Writer) copyValid(ctx context.Context, conn *pgx.Conn, g *group) ([]string, error) {
	return w.careful(ctx, conn, g, func(tx pgx.Tx, b *batch) ([]string, error) {
		events := b.events
		b.events = nil
		if err := b.divide(ctx, conn, g, events); err != nil {
			return nil, err
		}
		if err := g.assign(); err != nil {
			return nil, err
		}
		if len(b.events) == 0 {
			return commitNothing(ctx, conn, tx)
		}
		return database.StoreRest(ctx, conn, consistency.PositionQuery, b.row())
	})
}

// careful stores a group in a transaction that first looks its events up. last
// stores those that are new, and commits.
func (w *Writer) careful(ctx context.Context, conn *pgx.Conn, g *group, last func(pgx.Tx, *batch) ([]string, error)) (position []string, err error) {
	b, err := w.batch(ctx, conn, nil)
	if err != nil {
		return nil, err
	}
	tx, err := database.BeginWrite(ctx, conn, w.options.Timeout)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback(ctx) // a failure closes the connection
		}
	}()
	if err := lookUp(ctx, tx, g); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(g.outcomes, func(o outcome) bool { return o != 0 }) {
		w.recent.expect()
	}
	b.events = g.without()
	g.create()
	if err := g.assign(); err != nil {
		return nil, err
	}
	if len(b.events) == 0 {
		return commitNothing(ctx, conn, tx)
	}
	return last(tx, b)
}

// commitNothing commits a transaction that stored nothing as if it had.
func commitNothing(ctx context.Context, conn *pgx.Conn, tx pgx.Tx) ([]string, error) {
	if err := database.Durable(ctx, tx); err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	return database.Commit(ctx, conn, consistency.PositionQuery) //nolint:wrapcheck // says what failed
}

// stored finds the digests of events that are stored, and which of them are erased.
const stored = `SELECT event_id, content_digest, erased_at IS NOT NULL FROM audit_events
WHERE (id_time, event_id) IN (SELECT k.id_time, k.event_id FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_time, event_id))`

// keys finds the keys of the digests of erased events.
const keys = `SELECT event_id, key FROM audit_erasures JOIN audit_digest_keys USING (key_id)
WHERE (id_time, event_id) IN (SELECT k.id_time, k.event_id FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_time, event_id))`

// lookUp gives the events that were stored before their outcome. An event whose
// id is taken gets a second one, and is looked up under that.
func lookUp(ctx context.Context, tx pgx.Tx, g *group) error {
	wanted := g.events
	for tries := secondTries; len(wanted) > 0; tries-- {
		taken, err := g.lookUp(ctx, tx, wanted)
		if err != nil {
			return err
		}
		wanted = nil
		for _, i := range taken {
			if tries == 0 {
				g.outcomes[i] = conflict
				continue
			}
			second := g.events[i].UnderSecondID()
			if last := g.seconds[i]; last != nil {
				second = last.UnderSecondID()
				second.ClaimedID = g.events[i].ID
			}
			if g.seconds == nil {
				g.seconds = map[int]*event.Event{}
			}
			g.seconds[i] = second
			wanted = append(wanted, second)
		}
	}
	return nil
}

// lookUp marks the duplicates among events, and returns the places of those whose
// id is taken by something else.
func (g *group) lookUp(ctx context.Context, tx pgx.Tx, events []*event.Event) (taken []int, err error) {
	times, ids := make([]pgtype.Timestamptz, len(events)), make([]uuid.UUID, len(events))
	for i, e := range events {
		times[i], ids[i] = schema.IDTime(event.IDTime(e.ID)), e.ID
	}
	found, err := tx.Query(ctx, stored, times, ids)
	if err != nil {
		return nil, fmt.Errorf("look %d events up: %w", len(ids), err)
	}
	var id uuid.UUID
	var digest []byte
	var isErased bool
	erased := map[uuid.UUID][]byte{}
	_, err = pgx.ForEachRow(found, []any{&id, &digest, &isErased}, func() error {
		i, known := g.find(id)
		switch {
		case !known:
			return fmt.Errorf("the database returned event %s, which was not asked for", id)
		case isErased:
			erased[id] = slices.Clone(digest)
		case string(g.events[i].Digest[:]) == string(digest):
			g.outcomes[i] = duplicate
		default:
			taken = append(taken, i)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look %d events up: %w", len(ids), err)
	}
	if len(erased) == 0 {
		return taken, nil
	}
	return g.compareErased(ctx, tx, erased, taken)
}

// compareErased marks the duplicates of events that were erased, of which the database
// has keyed digests, and adds the places of those whose id is taken.
func (g *group) compareErased(ctx context.Context, tx pgx.Tx, digests map[uuid.UUID][]byte, taken []int) ([]int, error) {
	ids := slices.Collect(maps.Keys(digests))
	rows, err := tx.Query(ctx, keys, query.IDTimes(ids), ids)
	if err != nil {
		return nil, fmt.Errorf("look up %d erased events: %w", len(ids), err)
	}
	var id uuid.UUID
	var key []byte
	same := map[uuid.UUID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		i, _ := g.find(id)
		same[id] = hmac.Equal(event.KeyedDigest(key, g.events[i].Digest[:]), digests[id])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d erased events: %w", len(ids), err)
	}
	for id := range digests {
		i, _ := g.find(id)
		if same[id] {
			g.outcomes[i] = duplicate
		} else {
			taken = append(taken, i)
		}
	}
	return taken, nil
}

// divide copies events behind a savepoint, in halves if the database refuses one
// of them, down to the event that it refuses. The batch gets those that are
// stored, the others get their outcome and the reason.
func (b *batch) divide(ctx context.Context, conn *pgx.Conn, g *group, events []*event.Event) error {
	first := len(b.events)
	b.events = append(b.events, events...)
	rows := b.rows(first)
	_, err := database.Batch(ctx, conn, "SAVEPOINT part; "+rows.Statement+"; RELEASE part", rows.Rows)
	if err == nil {
		return nil
	}
	b.events = b.events[:first]
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !isData(err) {
		return fmt.Errorf("copy %d events: %w", len(events), err)
	}
	if _, err := database.Batch(ctx, conn, "ROLLBACK TO part; RELEASE part"); err != nil {
		return fmt.Errorf("go on behind a refused event: %w", err)
	}
	if half := len(events) / 2; half > 0 {
		for _, part := range [][]*event.Event{events[:half], events[half:]} {
			if err := b.divide(ctx, conn, g, part); err != nil {
				return err
			}
		}
		return nil
	}
	i, _ := g.find(events[0].ID)
	g.outcomes[i] = invalid
	if g.reasons == nil {
		g.reasons = map[uuid.UUID]string{}
	}
	g.reasons[events[0].ID] = refused.Message
	return nil
}
