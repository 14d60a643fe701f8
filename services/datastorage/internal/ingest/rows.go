package ingest

import (
	"bytes"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// insert names the columns in the order of columns.args.
//
//nolint:unqueryvet // the row is spelled out by the types of its columns
const insert = `INSERT INTO audit_events (
	id_time, event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome,
	correlation_id, event_data, actor_type, actor_id, actor_ip, resource_type, resource_id, namespace, cluster_id,
	severity, duration_us, error_code, error_message, parent_event_id, retention_days, is_sensitive,
	producer_id, producer_epoch, producer_seq, content_digest, recorded_by, received_at,
	sort_time, claimed_event_id, commitment, salts)
SELECT row.* FROM unnest(
	$1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[],
	$9::text[], $10::jsonb[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
	$18::text[], $19::bigint[], $20::text[], $21::text[], $22::uuid[], $23::integer[], $24::boolean[],
	$25::text[], $26::bigint[], $27::bigint[], $28::bytea[], $29::text[], $30::timestamptz[],
	$31::timestamptz[], $32::uuid[], $33::bytea[], $34::bytea[]) AS row
ON CONFLICT DO NOTHING
RETURNING event_id`

// stored finds the digests of events that an insert left out.
const stored = `SELECT event_id, content_digest FROM audit_events
WHERE (id_time, event_id) IN (SELECT k.id_time, k.event_id FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_time, event_id))`

// order sorts events by primary key, so that transactions that overlap wait
// for each other instead of deadlocking.
func order(events []*event.Event) {
	slices.SortFunc(events, func(a, b *event.Event) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// columns turns rows into one array a column, which PostgreSQL takes in one
// statement whatever their number.
type columns struct {
	args []any
}

func column[T any](c *columns, events []*event.Event, value func(*event.Event) T) {
	values := make([]T, len(events))
	for i, e := range events {
		values[i] = value(e)
	}
	c.args = append(c.args, values)
}

// optional makes NULL of empty text.
func optional(c *columns, events []*event.Event, text func(*event.Event) string) {
	column(c, events, func(e *event.Event) *string {
		if s := text(e); s != "" {
			return &s
		}
		return nil
	})
}

// optionalID makes NULL of the nil id.
func optionalID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func idTime(e *event.Event) pgtype.Timestamptz { return schema.IDTime(event.IDTime(e.ID)) }

func keys(events []*event.Event) []any {
	c := &columns{}
	column(c, events, idTime)
	column(c, events, func(e *event.Event) uuid.UUID { return e.ID })
	return c.args
}

func rows(events []*event.Event) []any {
	c := &columns{args: keys(events)}
	column(c, events, func(e *event.Event) string { return e.Version })
	column(c, events, func(e *event.Event) string { return e.Type })
	column(c, events, func(e *event.Event) pgtype.Timestamptz { return pgtype.Timestamptz{Time: e.Timestamp, Valid: true} })
	column(c, events, func(e *event.Event) string { return e.Category })
	column(c, events, func(e *event.Event) string { return e.Action })
	column(c, events, func(e *event.Event) string { return string(e.Outcome) })
	column(c, events, func(e *event.Event) string { return e.CorrelationID })
	// As text: the array's elements are jsonb only to the server.
	column(c, events, func(e *event.Event) string { return string(e.Data) })
	optional(c, events, func(e *event.Event) string { return e.ActorType })
	optional(c, events, func(e *event.Event) string { return e.ActorID })
	optional(c, events, func(e *event.Event) string { return e.ActorIP })
	optional(c, events, func(e *event.Event) string { return e.ResourceType })
	optional(c, events, func(e *event.Event) string { return e.ResourceID })
	optional(c, events, func(e *event.Event) string { return e.Namespace })
	optional(c, events, func(e *event.Event) string { return e.ClusterID })
	optional(c, events, func(e *event.Event) string { return e.Severity })
	column(c, events, func(e *event.Event) *int64 { return e.DurationMicros })
	optional(c, events, func(e *event.Event) string { return e.ErrorCode })
	optional(c, events, func(e *event.Event) string { return e.ErrorMessage })
	column(c, events, func(e *event.Event) *uuid.UUID { return optionalID(e.ParentID) })
	column(c, events, func(e *event.Event) int32 { return e.RetentionDays })
	column(c, events, func(e *event.Event) bool { return e.Sensitive })
	optional(c, events, func(e *event.Event) string { return e.ProducerID })
	column(c, events, func(e *event.Event) *int64 { return e.ProducerEpoch })
	column(c, events, func(e *event.Event) *int64 { return e.ProducerSeq })
	column(c, events, func(e *event.Event) []byte { return e.Digest[:] })
	optional(c, events, func(e *event.Event) string { return e.RecordedBy })
	column(c, events, func(e *event.Event) time.Time { return e.ReceivedAt })
	column(c, events, func(e *event.Event) *time.Time {
		if sorted := e.SortTime(); !sorted.Equal(e.Timestamp) {
			return &sorted
		}
		return nil
	})
	column(c, events, func(e *event.Event) *uuid.UUID { return optionalID(e.ClaimedID) })
	column(c, events, func(e *event.Event) []byte { return e.Commitment[:] })
	column(c, events, func(e *event.Event) []byte { return e.Salts[:] })
	return c.args
}
