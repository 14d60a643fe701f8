package ownevent

import (
	"context"
	"errors"
	"fmt"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

// Sink stores events of an audit.Store in DataStorage's own database.
type Sink struct {
	decoder *event.Decoder
	writer  *ingest.Writer
}

// NewSink makes a sink. The decoder takes events as large as those of an audit.Store.
func NewSink(decoder *event.Decoder, writer *ingest.Writer) *Sink {
	return &Sink{decoder: decoder, writer: writer}
}

// Write implements audit.Sink.
func (s *Sink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	made := event.Batch{Events: make([]*event.Event, len(batch))}
	var refused []audit.Refusal
	for i := range batch {
		e, err := Make(s.decoder, ownEvent(&batch[i]))
		if err != nil {
			refused = append(refused, audit.Refusal{Index: i, Code: string(event.CodeInvalid), Reason: err.Error()})
		}
		made.Events[i] = e
	}
	if len(refused) > 0 {
		return audit.Ack{}, &audit.RefusedError{Items: refused}
	}
	result, err := s.writer.Store(ctx, ingest.Request{Batch: made})
	if err != nil {
		return audit.Ack{}, sinkError(err)
	}
	ack := audit.Ack{ConsistencyToken: result.Token}
	for _, status := range result.Statuses {
		switch status {
		case ingest.Created:
			ack.Created++
		case ingest.Duplicate:
			ack.Duplicates++
		case ingest.Refused:
		}
	}
	return ack, nil
}

func sinkError(err error) error {
	if refused, ok := errors.AsType[*ingest.RefusedError](err); ok {
		items := make([]audit.Refusal, len(refused.Refusals))
		for i, r := range refused.Refusals {
			items[i] = audit.Refusal{Index: r.Index, Code: string(r.Code), Reason: r.Detail}
		}
		return &audit.RefusedError{Items: items}
	}
	return fmt.Errorf("store DataStorage's own events: %w", err)
}

func ownEvent(e *audit.Event) *Event {
	return &Event{
		ID: e.ID, Type: e.Type, Action: e.Action, At: e.Timestamp, Outcome: e.Outcome, CorrelationID: e.CorrelationID,
		ActorType: e.ActorType, ActorID: e.ActorID, ResourceType: e.ResourceType, ResourceID: e.ResourceID, Data: e.Data,
		Producer: e.Producer,
	}
}
