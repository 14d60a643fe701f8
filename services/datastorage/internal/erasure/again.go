package erasure

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/query"
)

// Place is where Again goes on in the list of erased events.
type Place struct {
	IDTime  pgtype.Timestamptz
	EventID uuid.UUID
}

// First is the begin of the list.
var First = Place{IDTime: pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}}

// Again erases events of the list that came back, with a restored backup or from a
// spool: it looks at most events of the list behind from. It returns where it ended, nil
// at the end of the list. Held events stay until their hold is released, and those that
// were altered stay, and DataStorage's own.
func (x *Executor) Again(ctx context.Context, tx pgx.Tx, from Place, most int, now time.Time) (next *Place, all Done, err error) {
	if err := hold.Lock(ctx, tx); err != nil {
		return nil, all, err //nolint:wrapcheck // says all there is
	}
	rows, err := tx.Query(ctx, `SELECT l.id_time, l.event_id, l.request_id, e.event_id IS NOT NULL
		FROM (SELECT id_time, event_id, request_id FROM audit_erasures WHERE id_time >= $1 AND (id_time, event_id) > ($1, $2) ORDER BY id_time, event_id LIMIT $3) AS l
		LEFT JOIN audit_events AS e ON e.id_time = l.id_time AND e.event_id = l.event_id AND e.erased_at IS NULL ORDER BY 1, 2`, from.IDTime, from.EventID, most)
	if err != nil {
		return nil, all, fmt.Errorf("read the list of erased events: %w", err)
	}
	var at Place
	var request uuid.UUID
	var back bool
	byRequest, looked := map[uuid.UUID][]uuid.UUID{}, 0
	if _, err := pgx.ForEachRow(rows, []any{&at.IDTime, &at.EventID, &request, &back}, func() error {
		if looked++; back {
			byRequest[request] = append(byRequest[request], at.EventID)
		}
		return nil
	}); err != nil {
		return nil, all, fmt.Errorf("read the list of erased events: %w", err)
	}
	for id, ids := range byRequest {
		if err := x.again(ctx, tx, id, ids, now.UTC().Truncate(time.Microsecond), &all); err != nil {
			return nil, all, err
		}
	}
	if looked < most {
		return nil, all, nil
	}
	return &at, all, nil
}

// again erases those of the events of a request that are not held.
func (x *Executor) again(ctx context.Context, tx pgx.Tx, request uuid.UUID, ids []uuid.UUID, now time.Time, all *Done) error {
	held, err := hold.Held(ctx, tx, ids)
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	kept := make(map[uuid.UUID]struct{}, len(held))
	for _, k := range held {
		kept[k.EventID] = struct{}{}
	}
	free := make([]uuid.UUID, 0, len(ids))
	for _, id := range ids {
		if _, keeps := kept[id]; !keeps {
			free = append(free, id)
		}
	}
	found, err := read(ctx, tx, free)
	if err != nil {
		return err
	}
	all.Held += len(held)
	all.Altered += len(found.altered)
	if len(found.ids) == 0 {
		return nil
	}
	erasures, err := list(ctx, tx, withoutIDs, `AND request_id = $1`, request)
	if err != nil {
		return err
	}
	if len(erasures) == 0 {
		return fmt.Errorf("the list of erased events names erasure %s, which audit_requests does not have", request)
	}
	if err := x.erase(ctx, tx, request, found, nil, now); err != nil {
		return err
	}
	all.Erased += len(found.ids)
	return x.completed(ctx, tx, &erasures[0], found.ids, 0, now, true)
}

// expect puts events on the list, so that Again erases them when they come back.
func expect(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, request uuid.UUID, keyID int32, erasedAt time.Time) error {
	if _, err := tx.Exec(ctx, `INSERT INTO audit_erasures (id_time, event_id, erasure_id, key_id, erased_at, request_id)
		SELECT id_of, id, 0, $3, $4, $5 FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id) ON CONFLICT DO NOTHING`,
		query.IDTimes(ids), ids, keyID, erasedAt, request); err != nil {
		return fmt.Errorf("list %d events to be erased when they come back: %w", len(ids), err)
	}
	return nil
}
