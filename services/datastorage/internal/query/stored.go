package query

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Stored is an event with what DataStorage knows of it.
type Stored struct {
	event.Event

	// Place is the event's SortTime as it was stored.
	Place time.Time
	// ErasedAt is when the event was erased: it has neither subject fields nor data. Nil otherwise.
	ErasedAt *time.Time
}

// Columns are those that ScanWith reads.
const Columns = `event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome,
	correlation_id, event_data, actor_type, actor_id, actor_ip, resource_type, resource_id, namespace, cluster_id,
	severity, duration_us, error_code, error_message, parent_event_id,
	retention_days, is_sensitive, producer_id, producer_epoch, producer_seq,
	recorded_by, received_at, claimed_event_id, ` + schema.SortTime + `, erased_at`

const selectEvents = `SELECT ` + Columns + ` FROM audit_events`

func scan(row pgx.CollectableRow) (Stored, error) { return ScanWith(row) }

// ScanWith reads an event from Columns, and the columns behind them into more.
func ScanWith(row pgx.CollectableRow, more ...any) (Stored, error) {
	var s Stored
	text := func(field *string) any { return (*zeronull.Text)(field) }
	err := row.Scan(append([]any{
		&s.ID, &s.Version, &s.Type, &s.Timestamp, &s.Category, &s.Action, &s.Outcome,
		&s.CorrelationID, &s.Data, text(&s.ActorType), text(&s.ActorID), text(&s.ActorIP),
		text(&s.ResourceType), text(&s.ResourceID), text(&s.Namespace), text(&s.ClusterID),
		text(&s.Severity), &s.DurationMicros, text(&s.ErrorCode), text(&s.ErrorMessage), (*zeronull.UUID)(&s.ParentID),
		&s.RetentionDays, &s.Sensitive, text(&s.ProducerID), &s.ProducerEpoch, &s.ProducerSeq,
		text(&s.RecordedBy), &s.ReceivedAt, (*zeronull.UUID)(&s.ClaimedID), &s.Place, &s.ErasedAt,
	}, more...)...)
	if err != nil {
		return Stored{}, fmt.Errorf("read an event: %w", err)
	}
	if s.ErasedAt != nil {
		*s.ErasedAt = s.ErasedAt.UTC()
	}
	s.Timestamp, s.ReceivedAt, s.Place = s.Timestamp.UTC(), s.ReceivedAt.UTC(), s.Place.UTC()
	return s, nil
}
