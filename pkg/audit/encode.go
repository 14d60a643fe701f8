package audit

import (
	"bytes"
	"encoding/json"
	"fmt"

	"kubernaut.ai/pkg/audit/internal/wire"
)

// encodeBatch writes events as the JSON array that DataStorage takes.
func encodeBatch(batch []Event) ([]byte, error) {
	events := make([]wire.AuditEvent, len(batch))
	for i := range batch {
		events[i] = toWire(&batch[i])
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// Payloads are read by machines: escaping <, > and & would only make them longer.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(events); err != nil {
		return nil, fmt.Errorf("encode batch of %d events: %w", len(batch), err)
	}
	return b.Bytes(), nil
}

// toWire gives an event its wire form.
func toWire(e *Event) wire.AuditEvent {
	w := wire.AuditEvent{
		EventId:        optional(e.ID),
		Version:        e.Version,
		EventType:      e.Type,
		EventTimestamp: e.Timestamp,
		EventCategory:  e.Category,
		EventAction:    e.Action,
		EventOutcome:   wire.EventOutcome(e.Outcome),
		CorrelationId:  e.CorrelationID,
		EventData:      e.Data,
		ActorType:      optional(e.ActorType),
		ActorId:        optional(e.ActorID),
		ActorIp:        optional(e.ActorIP),
		ResourceType:   optional(e.ResourceType),
		ResourceId:     optional(e.ResourceID),
		Namespace:      optional(e.Namespace),
		ClusterId:      optional(e.ClusterID),
		Severity:       optional(e.Severity),
		ErrorCode:      optional(e.ErrorCode),
		ErrorMessage:   optional(e.ErrorMessage),
		ParentEventId:  optional(e.ParentID),
		RetentionDays:  optional(e.RetentionDays),
		IsSensitive:    optional(e.Sensitive),
		ProducerId:     optional(e.Producer.ID),
	}
	if e.Duration != nil {
		milliseconds := float64(e.Duration.Microseconds()) / 1000
		w.DurationMs = &milliseconds
	}
	if e.Producer != (Producer{}) {
		sequence := int64(e.Producer.Sequence) //nolint:gosec // counts events
		w.ProducerEpoch, w.ProducerSeq = &e.Producer.Epoch, &sequence
	}
	return w
}

// optional leaves a zero value out.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
