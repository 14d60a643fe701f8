package control

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// DefaultPort is the port of the control listener in the platform's deployment.
const DefaultPort = 9093

// The paths of the listener.
const (
	StatePath            = "/audit/state"
	RejectionsPath       = "/audit/rejections"
	QuarantinePath       = "/audit/quarantine"
	RetryPath            = "/audit/quarantine/retry"
	AcknowledgementsPath = "/audit/acknowledgements"
)

// The parameters of requests.
const (
	ParameterCorrelationID = "correlation_id"
	ParameterAfter         = "after"
	ParameterLimit         = "limit"
	ParameterSensitive     = "sensitive"
)

// State is what a store holds, and how its sink and its spool do.
type State struct {
	// PendingEvents are accepted and not stored yet, PersistedEvents of them are on disk.
	PendingEvents   int `json:"pending_events"`
	PendingBytes    int `json:"pending_bytes"`
	PersistedEvents int `json:"persisted_events"`
	// OldestSeconds is how long the oldest of them has waited.
	OldestSeconds float64 `json:"oldest_seconds"`
	// StalledEvents of the pending are not taken by DataStorage for now, while others are.
	StalledEvents int `json:"stalled_events"`
	// BatchesInFlight are being written; StalledBatches of them back off because of their own events.
	BatchesInFlight int `json:"batches_in_flight"`
	StalledBatches  int `json:"stalled_batches"`
	// RejectedEvents and LostEvents are those that nobody acknowledged; RetryingEvents of the rejected are pending again.
	RejectedEvents int `json:"rejected_events"`
	LostEvents     int `json:"lost_events"`
	RetryingEvents int `json:"retrying_events"`
	// SinkError and SpoolError are empty while both work.
	SinkError  string `json:"sink_error,omitempty"`
	SpoolError string `json:"spool_error,omitempty"`
	// Spool is missing without a spool.
	Spool *Spool `json:"spool,omitempty"`
}

// Spool is a store's spool on disk.
type Spool struct {
	// Bytes is the size of its segments, MaxBytes their bound.
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
	// DamagedEvents and DamagedBytes could not be read when it was opened.
	DamagedEvents int    `json:"damaged_events,omitempty"`
	DamagedBytes  int64  `json:"damaged_bytes,omitempty"`
	Damage        string `json:"damage,omitempty"`
}

func stateOf(s audit.State) State {
	state := State{
		PendingEvents: s.Pending, PendingBytes: s.PendingBytes, PersistedEvents: s.Spooled,
		OldestSeconds:   s.Oldest.Truncate(time.Millisecond).Seconds(),
		StalledEvents:   s.Stalled,
		BatchesInFlight: s.BatchesInFlight, StalledBatches: s.StalledBatches,
		RejectedEvents: s.Rejected, LostEvents: s.Lost, RetryingEvents: s.Retrying,
	}
	if s.SinkError != nil {
		state.SinkError = s.SinkError.Error()
	}
	if s.SpoolError != nil {
		state.SpoolError = s.SpoolError.Error()
	}
	if s.Spool != nil {
		state.Spool = &Spool{
			Bytes: s.Spool.Bytes, MaxBytes: s.Spool.MaxBytes,
			DamagedEvents: s.Spool.Damage.Events, DamagedBytes: s.Spool.Damage.Bytes, Damage: s.Spool.Damage.Detail,
		}
	}
	return state
}

// Rejections are the rejected and lost events that nobody acknowledged, and those that wait. Of each kind the first 1,000 are named.
type Rejections struct {
	Rejected        []audit.Rejection `json:"rejected"`
	RejectedUnnamed int               `json:"rejected_unnamed,omitempty"`
	Lost            []audit.Reference `json:"lost"`
	LostUnnamed     int               `json:"lost_unnamed,omitempty"`
	// Stalled are the first 1,000 pending events that DataStorage does not take for now, with the reason.
	Stalled []audit.StalledEvent `json:"stalled"`
	// Pending are the first 1,000 pending events in memory.
	Pending []audit.Reference `json:"pending"`
}

// Quarantine is a page of the rejected events that are kept, oldest first.
type Quarantine struct {
	// Total is how many there are.
	Total int `json:"total"`
	// Events of this page; After is the id to ask for the next page with, if there is one.
	Events []QuarantinedEvent `json:"events"`
	After  *uuid.UUID         `json:"after,omitempty"`
	// Unreadable says that not all of them could be read.
	Unreadable bool `json:"unreadable,omitempty"`
}

// QuarantinedEvent is a rejected event.
type QuarantinedEvent struct {
	audit.Rejection

	// LostEvents is how many events an entry of code damaged stands for.
	LostEvents int `json:"lost_events,omitempty"`
	// Event has the contents, where they are kept and were asked for.
	Event *EventContents `json:"event,omitempty"`
}

// EventContents are the contents of an event, in the names of DataStorage's API.
type EventContents struct {
	Version       string          `json:"version"`
	Timestamp     time.Time       `json:"event_timestamp"`
	Category      string          `json:"event_category"`
	Action        string          `json:"event_action"`
	Outcome       audit.Outcome   `json:"event_outcome"`
	ActorType     string          `json:"actor_type,omitempty"`
	ActorID       string          `json:"actor_id,omitempty"`
	ActorIP       string          `json:"actor_ip,omitempty"`
	ResourceType  string          `json:"resource_type,omitempty"`
	ResourceID    string          `json:"resource_id,omitempty"`
	Namespace     string          `json:"namespace,omitempty"`
	ClusterID     string          `json:"cluster_id,omitempty"`
	Severity      string          `json:"severity,omitempty"`
	DurationMS    *float64        `json:"duration_ms,omitempty"`
	ErrorCode     string          `json:"error_code,omitempty"`
	ErrorMessage  string          `json:"error_message,omitempty"`
	ParentID      *uuid.UUID      `json:"parent_event_id,omitempty"`
	RetentionDays int32           `json:"retention_days,omitempty"`
	Sensitive     bool            `json:"is_sensitive,omitempty"`
	ProducerID    string          `json:"producer_id,omitempty"`
	ProducerEpoch int64           `json:"producer_epoch,omitempty"`
	ProducerSeq   uint64          `json:"producer_seq,omitempty"`
	Data          json.RawMessage `json:"event_data,omitempty"`
	// Redacted says that the data is not shown because the event is sensitive.
	Redacted bool `json:"event_data_redacted,omitempty"`
}

// quarantinedOf describes a rejected event without its contents.
func quarantinedOf(q *audit.Quarantined) QuarantinedEvent {
	return QuarantinedEvent{Rejection: q.Rejection, LostEvents: q.LostEvents}
}

// contentsOf gives the contents of a rejected event; nil if they are not kept.
// The data of a sensitive event is left out unless asked for.
func contentsOf(e *audit.Event, sensitive bool) *EventContents {
	if e == nil {
		return nil
	}
	c := &EventContents{
		Version: e.Version, Timestamp: e.Timestamp, Category: e.Category, Action: e.Action, Outcome: e.Outcome,
		ActorType: e.ActorType, ActorID: e.ActorID, ActorIP: e.ActorIP,
		ResourceType: e.ResourceType, ResourceID: e.ResourceID, Namespace: e.Namespace, ClusterID: e.ClusterID,
		Severity: e.Severity, ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage, RetentionDays: e.RetentionDays,
		Sensitive: e.Sensitive, ProducerID: e.Producer.ID, ProducerEpoch: e.Producer.Epoch, ProducerSeq: e.Producer.Sequence,
	}
	if e.Duration != nil {
		ms := float64(*e.Duration) / float64(time.Millisecond)
		c.DurationMS = &ms
	}
	if e.ParentID != uuid.Nil {
		c.ParentID = &e.ParentID
	}
	switch {
	case e.Sensitive && !sensitive:
		c.Redacted = true
	case json.Valid(e.Data):
		c.Data = e.Data
	case e.Data != nil:
		c.Data, _ = json.Marshal(string(e.Data)) //nolint:errchkjson // a text
	}
	return c
}

// RetryRequest asks to accept rejected events again: those with the ids, or all.
type RetryRequest struct {
	EventIDs []uuid.UUID `json:"event_ids,omitempty"`
}

// Retried is the answer to a RetryRequest.
type Retried struct {
	// Retried is how many events were accepted again; they are pending now.
	Retried int `json:"retried"`
}

// AcknowledgementRequest names the record of an acknowledgement in DataStorage.
type AcknowledgementRequest struct {
	ID uuid.UUID `json:"id"`
}

// Acknowledged is the answer to an AcknowledgementRequest.
type Acknowledged struct {
	ID uuid.UUID `json:"id"`
	// Acknowledged is how many of the record's events this store still reported; the others were settled before, or are
	// not this store's.
	Acknowledged int `json:"acknowledged"`
	// By is the person that DataStorage's record names.
	By string `json:"acknowledged_by"`
}
