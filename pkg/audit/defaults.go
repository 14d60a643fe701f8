package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Defaults is a Recorder that completes events before it passes them on: each
// field that is zero takes the value of a common event. It is safe for
// concurrent use if the recorder beneath is.
//
//	events, err := audit.NewDefaults(store, audit.Event{
//		Category: "shop", ActorType: "service", ActorID: "shop-7", ClusterID: "eu-1",
//	})
//
// A zero value cannot be chosen against a default: leave fields out of the
// defaults in which it has a meaning to some events.
type Defaults struct {
	recorder Recorder
	common   Event
}

var _ Recorder = (*Defaults)(nil)

// NewDefaults makes a Defaults over a recorder. What identifies a single event
// (ID, Timestamp, ParentID, Duration, Producer) cannot be a default.
func NewDefaults(recorder Recorder, common Event) (*Defaults, error) {
	if recorder == nil {
		return nil, errors.New("audit defaults: the recorder is nil")
	}
	if common.ID != uuid.Nil || !common.Timestamp.IsZero() || common.ParentID != uuid.Nil ||
		common.Duration != nil || common.Producer != (Producer{}) {
		return nil, errors.New("audit defaults: id, timestamp, parent id, duration and producer belong to one event")
	}
	return &Defaults{recorder: recorder, common: common.clone()}, nil
}

// Record records a completed copy of the event; the event itself stays as it is.
func (d *Defaults) Record(ctx context.Context, e *Event) error {
	completed := *e
	d.complete(&completed)
	return d.recorder.Record(ctx, &completed) //nolint:wrapcheck // names the event
}

// RecordData is Record with a payload, which becomes the event's Data: anything
// that encoding/json marshals to an object.
func (d *Defaults) RecordData(ctx context.Context, e *Event, payload any) error {
	data, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("record audit event %s: marshal data: %w", e.Type, err)
	}
	completed := *e
	completed.Data = data
	return d.Record(ctx, &completed)
}

func (d *Defaults) complete(e *Event) {
	for _, field := range []struct {
		value  *string
		common string
	}{
		{&e.Version, d.common.Version},
		{&e.Type, d.common.Type},
		{&e.Category, d.common.Category},
		{&e.Action, d.common.Action},
		{(*string)(&e.Outcome), string(d.common.Outcome)},
		{&e.CorrelationID, d.common.CorrelationID},
		{&e.ActorType, d.common.ActorType},
		{&e.ActorID, d.common.ActorID},
		{&e.ActorIP, d.common.ActorIP},
		{&e.ResourceType, d.common.ResourceType},
		{&e.ResourceID, d.common.ResourceID},
		{&e.Namespace, d.common.Namespace},
		{&e.ClusterID, d.common.ClusterID},
		{&e.Severity, d.common.Severity},
		{&e.ErrorCode, d.common.ErrorCode},
		{&e.ErrorMessage, d.common.ErrorMessage},
	} {
		if *field.value == "" {
			*field.value = field.common
		}
	}
	if e.Data == nil {
		e.Data = d.common.Data
	}
	if e.RetentionDays == 0 {
		e.RetentionDays = d.common.RetentionDays
	}
	e.Sensitive = e.Sensitive || d.common.Sensitive
}
