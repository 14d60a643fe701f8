package query

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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
	correlation_id, event_data, coalesce(actor_type, ''), coalesce(actor_id, ''), coalesce(actor_ip, ''),
	coalesce(resource_type, ''), coalesce(resource_id, ''), coalesce(namespace, ''), coalesce(cluster_id, ''),
	coalesce(severity, ''), duration_us, coalesce(error_code, ''), coalesce(error_message, ''), parent_event_id,
	retention_days, is_sensitive, coalesce(producer_id, ''), producer_epoch, producer_seq,
	coalesce(recorded_by, ''), received_at, claimed_event_id, ` + schema.SortTime + `, erased_at`

const selectEvents = `SELECT ` + Columns + ` FROM audit_events`

func scan(row pgx.CollectableRow) (Stored, error) { return ScanWith(row) }

// ScanWith reads an event from Columns, and the columns behind them into more.
func ScanWith(row pgx.CollectableRow, more ...any) (Stored, error) {
	var s Stored
	var parent, claimed *uuid.UUID
	err := row.Scan(append([]any{
		&s.ID, &s.Version, &s.Type, &s.Timestamp, &s.Category, &s.Action, &s.Outcome,
		&s.CorrelationID, &s.Data, &s.ActorType, &s.ActorID, &s.ActorIP,
		&s.ResourceType, &s.ResourceID, &s.Namespace, &s.ClusterID,
		&s.Severity, &s.DurationMicros, &s.ErrorCode, &s.ErrorMessage, &parent,
		&s.RetentionDays, &s.Sensitive, &s.ProducerID, &s.ProducerEpoch, &s.ProducerSeq,
		&s.RecordedBy, &s.ReceivedAt, &claimed, &s.Place, &s.ErasedAt,
	}, more...)...)
	if err != nil {
		return Stored{}, fmt.Errorf("read an event: %w", err)
	}
	if parent != nil {
		s.ParentID = *parent
	}
	if claimed != nil {
		s.ClaimedID = *claimed
	}
	if s.ErasedAt != nil {
		*s.ErasedAt = s.ErasedAt.UTC()
	}
	s.Timestamp, s.ReceivedAt, s.Place = s.Timestamp.UTC(), s.ReceivedAt.UTC(), s.Place.UTC()
	return s, nil
}
