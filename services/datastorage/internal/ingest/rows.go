package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// row is an event with its place in a batch.
type row struct {
	*event.Event

	batch    int64
	position int32
}

// columns of audit_events, and the value of each in PostgreSQL's binary form.
var columns = []struct {
	name  string
	value func(to *value, r *row)
}{
	{"id_time", func(to *value, r *row) { to.timestamptz(schema.IDTime(event.IDTime(r.ID))) }},
	{"event_id", func(to *value, r *row) { to.bytes(r.ID[:]) }},
	{"version", func(to *value, r *row) { to.text(r.Version) }},
	{"event_type", func(to *value, r *row) { to.text(r.Type) }},
	{"event_timestamp", func(to *value, r *row) { to.time(r.Timestamp) }},
	{"event_category", func(to *value, r *row) { to.text(r.Category) }},
	{"event_action", func(to *value, r *row) { to.text(r.Action) }},
	{"event_outcome", func(to *value, r *row) { to.text(string(r.Outcome)) }},
	{"correlation_id", func(to *value, r *row) { to.text(r.CorrelationID) }},
	{"event_data", func(to *value, r *row) { to.jsonb(r.Data) }},
	{"actor_type", func(to *value, r *row) { to.optionalText(r.ActorType) }},
	{"actor_id", func(to *value, r *row) { to.optionalText(r.ActorID) }},
	{"actor_ip", func(to *value, r *row) { to.optionalText(r.ActorIP) }},
	{"resource_type", func(to *value, r *row) { to.optionalText(r.ResourceType) }},
	{"resource_id", func(to *value, r *row) { to.optionalText(r.ResourceID) }},
	{"namespace", func(to *value, r *row) { to.optionalText(r.Namespace) }},
	{"cluster_id", func(to *value, r *row) { to.optionalText(r.ClusterID) }},
	{"severity", func(to *value, r *row) { to.optionalText(r.Severity) }},
	{"duration_us", func(to *value, r *row) { to.optionalBigint(r.DurationMicros) }},
	{"error_code", func(to *value, r *row) { to.optionalText(r.ErrorCode) }},
	{"error_message", func(to *value, r *row) { to.optionalText(r.ErrorMessage) }},
	{"parent_event_id", func(to *value, r *row) { to.optionalID(r.ParentID) }},
	{"retention_days", func(to *value, r *row) { to.integer(r.RetentionDays) }},
	{"is_sensitive", func(to *value, r *row) { to.boolean(r.Sensitive) }},
	{"producer_id", func(to *value, r *row) { to.optionalText(r.ProducerID) }},
	{"producer_epoch", func(to *value, r *row) { to.optionalBigint(r.ProducerEpoch) }},
	{"producer_seq", func(to *value, r *row) { to.optionalBigint(r.ProducerSeq) }},
	{"content_digest", func(to *value, r *row) { to.bytes(r.Digest[:]) }},
	{"recorded_by", func(to *value, r *row) { to.optionalText(r.RecordedBy) }},
	{"received_at", func(to *value, r *row) { to.time(r.ReceivedAt) }},
	{"sort_time", func(to *value, r *row) { to.sortTime(r.Event) }},
	{"claimed_event_id", func(to *value, r *row) { to.optionalID(r.ClaimedID) }},
	{"commitment", func(to *value, r *row) { to.bytes(r.Commitment[:]) }},
	{"batch_id", func(to *value, r *row) { to.bigint(r.batch) }},
	{"batch_position", func(to *value, r *row) { to.integer(r.position) }},
	{"salts", func(to *value, r *row) { to.bytes(r.Salts[:]) }},
}

// copyEvents copies rows of columns.
var copyEvents = func() string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return `COPY audit_events (` + strings.Join(names, ", ") + `) FROM STDIN (FORMAT binary)`
}()

// batch is what a transaction stores: its events, in this order, and a row of
// audit_batches, which the sequencer of the ledger numbers them by.
type batch struct {
	id     int64
	at     time.Time
	events []*event.Event
}

// rows are the batch's events from the position first on.
func (b *batch) rows(first int) database.Copied {
	events := b.events[first:]
	return database.Copied{Statement: copyEvents, Count: len(events), Rows: func(to *database.Rows) {
		r := row{batch: b.id, position: int32(first)} //nolint:gosec // a transaction is bounded
		for _, e := range events {
			r.Event = e
			to.Row(len(columns))
			for i := range columns {
				columns[i].value((*value)(to), &r)
			}
			r.position++
		}
	}}
}

// row is the batch's own.
func (b *batch) row() database.Copied {
	const statement = `COPY audit_batches (batch_id, received_at, events, commitments) FROM STDIN (FORMAT binary)`
	return database.Copied{Statement: statement, Count: 1, Rows: func(to *database.Rows) {
		const fields = 4
		to.Row(fields)
		v := (*value)(to)
		v.bigint(b.id)
		v.time(b.at)
		v.integer(int32(len(b.events))) //nolint:gosec // a transaction is bounded
		v.length(len(b.events) * sha256.Size)
		for _, e := range b.events {
			v.B = append(v.B, e.Commitment[:]...)
		}
	}}
}

// value appends one field: its length, -1 for NULL, and its bytes.
type value database.Rows

func (v *value) length(n int) { v.B = binary.BigEndian.AppendUint32(v.B, uint32(n)) } //nolint:gosec // fields are bounded

func (v *value) null() { v.B = append(v.B, 0xff, 0xff, 0xff, 0xff) }

func (v *value) bytes(b []byte) {
	v.length(len(b))
	v.B = append(v.B, b...)
}

func (v *value) text(text string) {
	v.length(len(text))
	v.B = append(v.B, text...)
}

// optionalText makes NULL of empty text.
func (v *value) optionalText(text string) {
	if text == "" {
		v.null()
		return
	}
	v.text(text)
}

// jsonb is a text behind the version of its form.
func (v *value) jsonb(text []byte) {
	v.length(1 + len(text))
	v.B = append(append(v.B, 1), text...)
}

func (v *value) optionalID(id uuid.UUID) {
	if id == uuid.Nil {
		v.null()
		return
	}
	v.bytes(id[:])
}

func (v *value) boolean(b bool) {
	v.length(1)
	if b {
		v.B = append(v.B, 1)
		return
	}
	v.B = append(v.B, 0)
}

func (v *value) integer(n int32) {
	const size = 4
	v.length(size)
	v.B = binary.BigEndian.AppendUint32(v.B, uint32(n)) //nolint:gosec // two's complement
}

func (v *value) bigint(n int64) {
	const size = 8
	v.length(size)
	v.B = binary.BigEndian.AppendUint64(v.B, uint64(n)) //nolint:gosec // two's complement
}

func (v *value) optionalBigint(n *int64) {
	if n == nil {
		v.null()
		return
	}
	v.bigint(*n)
}

// epoch is the time from which PostgreSQL counts microseconds, as Unix time.
const epoch = 946_684_800_000_000

func (v *value) time(t time.Time) { v.bigint(t.UnixMicro() - epoch) }

// sortTime is NULL where it is the event's own time.
func (v *value) sortTime(e *event.Event) {
	if t := e.SortTime(); !t.Equal(e.Timestamp) {
		v.time(t)
		return
	}
	v.null()
}

// timestamptz is a time, or one of the infinities, which are the ends of the range.
func (v *value) timestamptz(t pgtype.Timestamptz) {
	switch t.InfinityModifier {
	case pgtype.NegativeInfinity:
		v.bigint(math.MinInt64)
	case pgtype.Infinity:
		v.bigint(math.MaxInt64)
	case pgtype.Finite:
		v.time(t.Time)
	}
}
