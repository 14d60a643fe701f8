package erasure

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// ErrIncomplete means that an event has no commitment yet. Maintenance makes it.
var ErrIncomplete = errors.New("an event has no commitment yet, which maintenance makes")

// Executor carries out requests. Its transactions are of a member of the tables'
// owner. It is used by one goroutine.
type Executor struct {
	Decoder *event.Decoder
	IDs     *schema.BatchIDs
}

// Done says what a transaction did.
type Done struct {
	ID     uuid.UUID
	Status Status
	// Erased is the number of events, Partitions are the tables that have old versions of them.
	Erased     int
	Partitions []string
	// Held, Altered and Own events are why nothing was erased.
	Held, Altered, Own int
	// Unusable: nothing was erased, because the row is not what Store records.
	Unusable bool
}

// Next carries out the request that waits longest, completely or not at all. It
// returns nil if none waits.
func (x *Executor) Next(ctx context.Context, tx pgx.Tx, now time.Time) (*Done, error) {
	// A hold that is answered after this waits for the end of the transaction.
	if err := hold.Lock(ctx, tx); err != nil {
		return nil, err //nolint:wrapcheck // says all there is
	}
	found, err := list(ctx, tx, withIDs, `AND finished_at IS NULL ORDER BY requested_at, request_id LIMIT 1`)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	e := &found[0]
	now = now.UTC().Truncate(time.Microsecond)
	end := result{Status: StatusRefused}
	// The serving role can write any row. What is no request must not stop the ones behind it.
	asked, bad := NewRequest(e.ID, e.EventIDs, e.Reason)
	if len(bad) > 0 {
		e.Request, end.Unusable = Request{ID: e.ID}, true
		return &Done{ID: e.ID, Status: end.Status, Unusable: true}, x.finish(ctx, tx, e, &end, now)
	}
	e.Request = asked
	if end.Held, err = hold.Held(ctx, tx, e.EventIDs); err != nil {
		return nil, err //nolint:wrapcheck // says all there is
	}
	done := &Done{ID: e.ID}
	if len(end.Held) == 0 {
		events, err := read(ctx, tx, e.EventIDs)
		if err != nil {
			return nil, err
		}
		// Own events were refused when the request was recorded, unless the serving role recorded it by other means.
		if end.Missing, end.Altered, end.Own = events.missing(e.EventIDs), events.altered, events.own; len(end.Altered)+len(end.Own) == 0 {
			if err := x.erase(ctx, tx, e.ID, events, end.Missing, now); err != nil {
				return nil, err
			}
			end.Status, end.Erased = StatusErased, len(events.ids)
			done.Partitions = events.partitions
		}
	}
	done.Status, done.Erased, done.Held, done.Altered, done.Own = end.Status, end.Erased, len(end.Held), len(end.Altered), len(end.Own)
	return done, x.finish(ctx, tx, e, &end, now)
}

// finish records the end of a request.
func (x *Executor) finish(ctx context.Context, tx pgx.Tx, e *Erasure, end *result, now time.Time) error {
	text, err := json.Marshal(end)
	if err != nil {
		return fmt.Errorf("encode a result: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE audit_requests SET started_at = $2, finished_at = $2, result = $3 WHERE request_id = $1`, e.ID, now, string(text)); err != nil {
		return fmt.Errorf("finish erasure %s: %w", e.ID, err)
	}
	if end.Status == StatusErased {
		return x.completed(ctx, tx, e, e.EventIDs, len(end.Missing), now, false)
	}
	return record(ctx, tx, x.Decoder, x.IDs, &ownevent.Event{
		Type: Refused, Action: "refuse", At: now, Outcome: audit.OutcomeFailure, CorrelationID: e.ID.String(),
		ActorType: "service", ActorID: ownevent.RecordedBy, Data: refusedData{Held: len(end.Held), Altered: len(end.Altered), Own: len(end.Own), Unusable: end.Unusable, Reason: e.Reason},
	})
}

func (x *Executor) completed(ctx context.Context, tx pgx.Tx, e *Erasure, ids []uuid.UUID, missing int, now time.Time, again bool) error {
	return record(ctx, tx, x.Decoder, x.IDs, &ownevent.Event{
		Type: Completed, Action: "erase", At: now, Outcome: audit.OutcomeSuccess, CorrelationID: e.ID.String(),
		ActorType: "service", ActorID: ownevent.RecordedBy,
		Data: completedData{EventIDs: ids, Reason: e.Reason, Missing: missing, Again: again},
	})
}

// key returns the key of digests, and makes it for the first erasure.
func key(ctx context.Context, tx pgx.Tx) (id int32, key []byte, err error) {
	err = tx.QueryRow(ctx, `SELECT key_id, key FROM audit_digest_keys ORDER BY key_id DESC LIMIT 1`).Scan(&id, &key)
	if errors.Is(err, pgx.ErrNoRows) {
		const size = 32
		key = make([]byte, size)
		if _, err := rand.Read(key); err != nil {
			return 0, nil, fmt.Errorf("make a key: %w", err)
		}
		err = tx.QueryRow(ctx, `INSERT INTO audit_digest_keys (key) VALUES ($1) RETURNING key_id`, key).Scan(&id)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("key of digests: %w", err)
	}
	return id, key, nil
}

// erase takes subject fields and data away from events. The missing ones may come back.
func (x *Executor) erase(ctx context.Context, tx pgx.Tx, request uuid.UUID, e *events, missing []uuid.UUID, now time.Time) error {
	keyID, key, err := key(ctx, tx)
	if err != nil {
		return err
	}
	if err := expect(ctx, tx, missing, request, keyID, now); err != nil {
		return err
	}
	if len(e.ids) == 0 {
		return nil
	}
	if err := e.uncount(ctx, tx); err != nil {
		return err
	}
	digests := make([][]byte, len(e.digests))
	for i, digest := range e.digests {
		digests[i] = event.KeyedDigest(key, digest)
	}
	var id int64
	if err := tx.QueryRow(ctx, `SELECT nextval('audit_erasure_ids')`).Scan(&id); err != nil {
		return fmt.Errorf("number an erasure: %w", err)
	}
	done, err := tx.Exec(ctx, `UPDATE audit_events SET erasure_id = $1, erased_at = $2, salts = substring(salts FOR 32), erased_parts = parts, content_digest = digest,
			event_data = NULL, actor_type = NULL, actor_id = NULL, actor_ip = NULL, resource_type = NULL, resource_id = NULL,
			namespace = NULL, cluster_id = NULL, error_code = NULL, error_message = NULL
		FROM unnest($3::timestamptz[], $4::uuid[], $5::bytea[], $6::bytea[]) AS k (id_of, id, parts, digest) WHERE id_time = id_of AND event_id = id`,
		id, now, e.times, e.ids, e.parts, digests)
	if err == nil && done.RowsAffected() != int64(len(e.ids)) {
		err = fmt.Errorf("%d rows changed", done.RowsAffected())
	}
	if err != nil {
		return fmt.Errorf("erase %d events: %w", len(e.ids), err)
	}
	// An event of the list may have come back, with a backup.
	if _, err := tx.Exec(ctx, `INSERT INTO audit_erasures (id_time, event_id, erasure_id, key_id, erased_at, request_id)
		SELECT id_of, id, $3, $4, $5, $6 FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id)
		ON CONFLICT (id_time, event_id) DO UPDATE SET erasure_id = excluded.erasure_id, key_id = excluded.key_id`,
		e.times, e.ids, id, keyID, now, request); err != nil {
		return fmt.Errorf("list %d erased events: %w", len(e.ids), err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_maintenance AS m (task, state) SELECT 'scrub ' || name, '{"pending": true}' FROM unnest($1::text[]) AS name
		ON CONFLICT (task) DO UPDATE SET state = m.state || excluded.state`, e.partitions)
	if err != nil {
		return fmt.Errorf("note where old versions are: %w", err)
	}
	return nil
}
