// Package auditevents records the Gateway's audit events: what happened to each
// signal, with the name of its request as correlation id.
//
// An event is recorded before the response that reports it. Its content comes
// from the signal and the request, and its id from the content, the body that
// delivered the signal, and the five minutes of the receipt: a sender's retry
// records nothing new, whichever replica it reaches. [Trail.Created] depends on
// nothing but the request, so that all replicas record the same event about it.
package auditevents

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
)

// The types of the Gateway's events.
const (
	SignalReceived      = "gateway.signal.received"
	SignalDeduplicated  = "gateway.signal.deduplicated"
	SignalResolved      = "gateway.signal.resolved"
	SignalRejected      = "gateway.signal.rejected"
	SignalTruncated     = "gateway.signal.truncated"
	SignalUndeliverable = "gateway.signal.undeliverable"
	RequestCreated      = "gateway.crd.created"
	RequestFailed       = "gateway.crd.failed"
)

const (
	category        = "gateway"
	actorService    = "service"
	actorSource     = "source"
	actorName       = "gateway"
	requestKind     = "RemediationRequest"
	severityWarning = "warning"
	maxErrorMessage = 4096
	failureTimeout  = 2 * time.Second
	maxIdentity     = 255
	maxSeverity     = 50
)

// slot is how long the same body is a retry. After it, the sender repeats the
// signals because they still fire.
const slot = 5 * time.Minute

// correlationPrefix marks the correlation ids of events that belong to no request.
const correlationPrefix = "gw-"

// Recorder accepts events; an audit.Store is one.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Origin describes the HTTP request that delivered a signal.
type Origin struct {
	// RequestID is the X-Request-ID: 1-255 characters. The caller may have chosen it.
	RequestID string
	// CorrelationID is that of events about the HTTP request itself. The Gateway makes it.
	CorrelationID string
	// Caller is the authenticated client; empty if authentication is off.
	Caller string
	// Address is the client's IP address; may be empty.
	Address string
	// Source is the kind of sender, for example alertmanager.
	Source string
	// Cluster is the name of the Gateway's cluster, for signals that name none; may be empty.
	Cluster string
}

// Trail records the events of one HTTP request. It is safe for concurrent use.
type Trail struct {
	recorder Recorder
	origin   Origin
}

// New returns the trail of an HTTP request.
func New(r Recorder, o Origin) *Trail { return &Trail{recorder: r, origin: o} }

// Rejected records that a body was rejected permanently. fields maps the invalid
// fields to what is wrong with them; it may be empty. The sender does not retry
// it, so the event has an id of its own and says which HTTP request it was.
func (t *Trail) Rejected(ctx context.Context, code, reason string, fields map[string]string) error {
	return record(ctx, t.recorder, t.rejected(code, reason), rejectedData{
		RequestID: t.origin.RequestID, Source: t.origin.Source, FieldErrors: fields,
	})
}

// Delivery returns the trail of a body. The body's digest and the time of its
// receipt identify the delivery, so that the sender's retry is the same one.
func (t *Trail) Delivery(digest string, receivedAt time.Time) *Delivery {
	d := &Delivery{Trail: *t, digest: digest, slot: receivedAt.UTC().Truncate(slot)}
	d.origin.CorrelationID = correlationPrefix + audit.DerivedID(d.slot, "delivery", t.origin.Source, t.origin.Caller, digest).String()
	return d
}

func (t *Trail) rejected(code, reason string) *audit.Event {
	return &audit.Event{
		Type:          SignalRejected,
		Action:        "rejected",
		Outcome:       audit.OutcomeFailure,
		CorrelationID: t.origin.CorrelationID,
		ActorType:     actorSource,
		ActorID:       t.actor(),
		ActorIP:       t.origin.Address,
		ErrorCode:     code,
		ErrorMessage:  printable.Storable(reason, maxErrorMessage),
	}
}

// actor is the authenticated client, or the kind of sender if authentication is off.
func (t *Trail) actor() string {
	if t.origin.Caller != "" {
		return printable.Storable(t.origin.Caller, maxIdentity)
	}
	return t.origin.Source
}

// Delivery records the events of the signals of one body. It is safe for concurrent use.
type Delivery struct {
	Trail

	digest string
	slot   time.Time
}

// ID is the correlation id of those of its events that belong to no request.
func (d *Delivery) ID() string { return d.origin.CorrelationID }

// Truncated records that the sender left signals out of the body that delivered
// a request's signal. Which ones is unknown.
func (d *Delivery) Truncated(ctx context.Context, request types.NamespacedName, left uint64, group, receiver string) error {
	return d.record(ctx, &audit.Event{
		Type:          SignalTruncated,
		Action:        "truncated",
		Outcome:       audit.OutcomeFailure,
		Severity:      severityWarning,
		CorrelationID: request.Name,
		ActorType:     actorSource,
		ActorID:       d.actor(),
		ActorIP:       d.origin.Address,
		ResourceType:  requestKind,
		ResourceID:    request.Name,
		Namespace:     request.Namespace,
	}, truncatedData{Delivery: d.ID(), Source: d.origin.Source, TruncatedAlerts: left, Group: group, Receiver: receiver})
}

// Rejected records that signals of the body were rejected permanently.
// fields maps the invalid fields to what is wrong with them; it may be empty.
func (d *Delivery) Rejected(ctx context.Context, code, reason string, fields map[string]string) error {
	return d.record(ctx, d.rejected(code, reason), rejectedData{Delivery: d.ID(), Source: d.origin.Source, FieldErrors: fields})
}

// record records an event about a signal of the delivery. The id covers the
// content: should a retry meet another state of the cluster, its event says
// something else and is another one.
func (d *Delivery) record(ctx context.Context, e *audit.Event, data any, identity ...string) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	e.Data = text
	parts := append([]string{
		e.Type, d.digest, e.Action, string(e.Outcome), e.CorrelationID, e.Severity, e.ActorID, e.ActorIP,
		e.ResourceID, e.Namespace, e.ClusterID, e.ErrorCode, e.ErrorMessage, string(text),
	}, identity...)
	e.ID = audit.DerivedID(d.slot, parts...)
	return record(ctx, d.recorder, e, json.RawMessage(text))
}

func record(ctx context.Context, r Recorder, e *audit.Event, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	e.Category = category
	e.Data = text
	if err := r.Record(ctx, e); err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}

// NewCorrelationID makes the correlation id of an HTTP request.
func NewCorrelationID(id uuid.UUID) string { return correlationPrefix + id.String() }
