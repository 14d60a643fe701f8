package audittrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
)

// ToEvent converts a stored event to the event that was recorded. What
// DataStorage added (received_at, recorded_by) has no field there. The copy
// shares the bytes of EventData.
func ToEvent(s *datastorage.StoredEvent) audit.Event {
	e := audit.Event{
		ID: s.EventId, Version: s.Version, Type: s.EventType, Timestamp: s.EventTimestamp,
		Category: s.EventCategory, Action: s.EventAction, Outcome: audit.Outcome(s.EventOutcome),
		CorrelationID: s.CorrelationId, Data: s.EventData,
		ActorType: value(s.ActorType), ActorID: value(s.ActorId), ActorIP: value(s.ActorIp),
		ResourceType: value(s.ResourceType), ResourceID: value(s.ResourceId), Namespace: value(s.Namespace), ClusterID: value(s.ClusterId),
		Severity: value(s.Severity), ErrorCode: value(s.ErrorCode), ErrorMessage: value(s.ErrorMessage),
		ParentID: value(s.ParentEventId), RetentionDays: value(s.RetentionDays), Sensitive: value(s.IsSensitive),
		Producer: audit.Producer{
			ID: value(s.ProducerId), Epoch: value(s.ProducerEpoch),
			Sequence: uint64(max(0, value(s.ProducerSeq))),
		},
	}
	if s.DurationMs != nil {
		d := time.Duration(*s.DurationMs * float64(time.Millisecond)).Round(time.Microsecond)
		e.Duration = &d
	}
	return e
}

// ToEvents converts a trail, see ToEvent.
func ToEvents(trail []datastorage.StoredEvent) []audit.Event {
	events := make([]audit.Event, len(trail))
	for i := range trail {
		events[i] = ToEvent(&trail[i])
	}
	return events
}

// value returns the zero value for nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// DataValue returns the value inside an event's data that path names, with
// dots between the names of nested fields, as in "severity.value". The value is
// as encoding/json decodes it (a number is a float64), and nil if there is none.
func DataValue(data json.RawMessage, path string) (any, error) {
	if len(data) == 0 {
		return nil, nil //nolint:nilnil // no data has no values
	}
	var found any
	if err := json.Unmarshal(data, &found); err != nil {
		return nil, fmt.Errorf("event data: %w", err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := found.(map[string]any)
		found = object[name] // nil if there is none
	}
	return found, nil
}
