// Package auditevents records the Gateway's audit events: what happened to each
// signal, with the name of its request as correlation id.
//
// An event is recorded before the response that reports it. Its content comes
// from the signal and the request. [Trail.Created] depends on nothing but the
// request, so that all replicas record the same event about it.
package auditevents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/signal"
)

// The types of the Gateway's events.
const (
	SignalReceived     = "gateway.signal.received"
	SignalDeduplicated = "gateway.signal.deduplicated"
	SignalResolved     = "gateway.signal.resolved"
	SignalRejected     = "gateway.signal.rejected"
	SignalTruncated    = "gateway.signal.truncated"
	RequestCreated     = "gateway.crd.created"
	RequestFailed      = "gateway.crd.failed"
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

// Recorder accepts events; an audit.Store is one.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Origin describes the HTTP request that delivered a signal.
type Origin struct {
	// RequestID is the X-Request-ID: 1-255 characters.
	RequestID string
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

// Received records that a firing signal arrived, under the request that it will
// create or be added to.
func (t *Trail) Received(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error {
	return t.record(ctx, t.signal(SignalReceived, "received", request, spec), t.signalData(spec))
}

// Created records that the request exists.
func (t *Trail) Created(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	return t.record(ctx, &audit.Event{
		ID:            audit.DerivedID(request.CreationTimestamp.Time, string(request.UID), RequestCreated),
		Type:          RequestCreated,
		Action:        "created",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: request.Name,
		ActorType:     actorService,
		ActorID:       actorName,
		ResourceType:  requestKind,
		ResourceID:    request.Name,
		Namespace:     request.Namespace,
		// Not the cluster of this replica's flags: other replicas, and this one
		// after a restart with other flags, must record the same event.
		ClusterID: labelledCluster(&request.Spec),
	}, createdData{
		Name: request.Name, Namespace: request.Namespace, UID: string(request.UID),
		Fingerprint: request.Spec.SignalFingerprint, Spec: request.Spec,
	})
}

// Deduplicated records that a firing signal was added to an existing request.
func (t *Trail) Deduplicated(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error {
	return t.record(ctx, t.signal(SignalDeduplicated, "deduplicated", request, spec), t.signalData(spec))
}

// Resolved records that the source reports the end of the problem. Without a
// request, the signal is recorded as ignored, under the id of the HTTP request.
func (t *Trail) Resolved(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec, at time.Time) error {
	e := t.signal(SignalResolved, "resolved", request, spec)
	data := resolvedData{signalData: t.signalData(spec), ResolvedTime: at}
	if request.Name == "" {
		e.Action = "ignored"
		e.CorrelationID, e.ResourceType, e.ResourceID = t.origin.RequestID, "", ""
		e.Namespace = spec.TargetResource.Namespace
		data.Ignored = true
	}
	return t.record(ctx, e, data)
}

// Truncated records that the sender left signals out of the body that delivered
// a request's signal. Which ones is unknown.
func (t *Trail) Truncated(ctx context.Context, request types.NamespacedName, left uint64, group, receiver string) error {
	return t.record(ctx, &audit.Event{
		Type:          SignalTruncated,
		Action:        "truncated",
		Outcome:       audit.OutcomeFailure,
		Severity:      severityWarning,
		CorrelationID: request.Name,
		ActorType:     actorSource,
		ActorID:       t.actor(),
		ActorIP:       t.origin.Address,
		ResourceType:  requestKind,
		ResourceID:    request.Name,
		Namespace:     request.Namespace,
	}, truncatedData{RequestID: t.origin.RequestID, Source: t.origin.Source, TruncatedAlerts: left, Group: group, Receiver: receiver})
}

// Rejected records that a body or one of its signals was rejected permanently.
// fields maps the invalid fields to what is wrong with them; it may be empty.
func (t *Trail) Rejected(ctx context.Context, code, reason string, fields map[string]string) error {
	return t.record(ctx, &audit.Event{
		Type:          SignalRejected,
		Action:        "rejected",
		Outcome:       audit.OutcomeFailure,
		CorrelationID: t.origin.RequestID,
		ActorType:     actorSource,
		ActorID:       t.actor(),
		ActorIP:       t.origin.Address,
		ErrorCode:     code,
		ErrorMessage:  signal.Clean(reason, maxErrorMessage),
	}, rejectedData{RequestID: t.origin.RequestID, Source: t.origin.Source, FieldErrors: fields})
}

// Failed records that no request was created. Without a name it is recorded
// under the id of the HTTP request. It has its own short timeout, because the
// deadline of the HTTP request may have passed; that may be the failure.
func (t *Trail) Failed(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout)
	defer cancel()
	e := t.signal(RequestFailed, "create", request, spec)
	e.Outcome = audit.OutcomeFailure
	e.ErrorCode = code(cause)
	e.ErrorMessage = signal.Clean(cause.Error(), maxErrorMessage)
	if request.Name == "" {
		e.CorrelationID, e.ResourceID = t.origin.RequestID, ""
		e.Namespace = spec.TargetResource.Namespace
	}
	return t.record(ctx, e, t.signalData(spec))
}

// signal returns an event about a signal that belongs to a request.
func (t *Trail) signal(eventType, action string, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) *audit.Event {
	return &audit.Event{
		Type:          eventType,
		Action:        action,
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: request.Name,
		Severity:      signal.Clean(spec.Severity, maxSeverity),
		ActorType:     actorSource,
		ActorID:       t.actor(),
		ActorIP:       t.origin.Address,
		ResourceType:  requestKind,
		ResourceID:    request.Name,
		Namespace:     request.Namespace,
		ClusterID:     t.cluster(spec),
	}
}

// cluster is the one that the signal names, else the Gateway's.
func (t *Trail) cluster(spec *v1alpha1.RemediationRequestSpec) string {
	if cluster := labelledCluster(spec); cluster != "" {
		return cluster
	}
	return t.origin.Cluster
}

// labelledCluster is the cluster that the signal names; empty if it names none.
func labelledCluster(spec *v1alpha1.RemediationRequestSpec) string {
	return signal.Clean(spec.Labels["cluster"], maxIdentity)
}

// actor is the authenticated client, or the kind of sender if authentication is off.
func (t *Trail) actor() string {
	if t.origin.Caller != "" {
		return signal.Clean(t.origin.Caller, maxIdentity)
	}
	return t.origin.Source
}

func (t *Trail) record(ctx context.Context, e *audit.Event, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	e.Category = category
	e.Data = text
	if err := t.recorder.Record(ctx, e); err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}

// code is the API server's reason for an error.
func code(err error) string {
	if reason := apierrors.ReasonForError(err); reason != "" {
		return string(reason)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "Timeout"
	}
	return "Unreachable"
}
