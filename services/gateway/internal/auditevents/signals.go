package auditevents

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Signal records the events of one signal of a body.
type Signal struct {
	delivery    *Delivery
	observation *signal.Observation
}

// Signal returns the trail of one of the body's signals.
func (d *Delivery) Signal(o *signal.Observation) *Signal { return &Signal{delivery: d, observation: o} }

// Received records that a firing signal arrived, under the request that it will create.
func (s *Signal) Received(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error {
	return s.signal(ctx, s.event(SignalReceived, "received", request, spec), spec, s.data(spec))
}

// Created records that the request exists.
func (s *Signal) Created(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	return record(ctx, s.delivery.recorder, &audit.Event{
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

// Escalation is a severity, as the source said it, that a request has not had
// before. The zero Escalation stands for none.
type Escalation struct {
	// Old is the severity that the request had last.
	Old string
	// New is the signal's; never equal to Old.
	New string
}

// Deduplicated records that a firing signal was added to an existing request.
func (s *Signal) Deduplicated(ctx context.Context, request types.NamespacedName, e Escalation) error {
	spec := &s.observation.Spec
	return s.signal(ctx, s.event(SignalDeduplicated, "deduplicated", request, spec), spec, deduplicatedData{
		signalData: s.data(spec), OldSeverity: e.Old, NewSeverity: e.New,
	})
}

// Resolved records that the source reports the end of a signal. Without a
// request, the signal is recorded as ignored, under the id of the delivery.
func (s *Signal) Resolved(ctx context.Context, request types.NamespacedName) error {
	spec := &s.observation.Spec
	e := s.event(SignalResolved, "resolved", request, spec)
	data := resolvedData{signalData: s.data(spec), ResolvedTime: s.observation.ResolvedAt}
	if request.Name == "" {
		e.Action = "ignored"
		data.Ignored = true
	}
	return s.signal(ctx, e, spec, data)
}

// Rejected records that the signal was rejected permanently.
// fields maps its invalid fields to what is wrong with them; it may be empty.
func (s *Signal) Rejected(ctx context.Context, code, reason string, fields map[string]string) error {
	return s.delivery.Rejected(ctx, code, reason, fields)
}

// Failed records that no request was created, or that it could not be found.
// Without a name it is recorded under the id of the delivery. It has its own
// short timeout, because the deadline of the HTTP request may have passed; that
// may be the failure.
func (s *Signal) Failed(ctx context.Context, request types.NamespacedName, cause error, by admission.Denial) error {
	spec := &s.observation.Spec
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout)
	defer cancel()
	return s.failure(ctx, s.event(RequestFailed, "create", request, spec), spec, cause, failedData{signalData: s.data(spec), DeniedBy: by})
}

// Undeliverable records that the cluster has denied the request of a problem
// since a time, and that the Gateway asks for no more retries.
func (s *Signal) Undeliverable(ctx context.Context, request types.NamespacedName, cause error, by admission.Denial, since time.Time) error {
	spec := &s.observation.Spec
	e := s.event(SignalUndeliverable, "given-up", request, spec)
	return s.failure(ctx, e, spec, cause, failedData{signalData: s.data(spec), DeniedBy: by, DeniedSince: since.UTC()})
}

func (s *Signal) failure(ctx context.Context, e *audit.Event, spec *v1alpha1.RemediationRequestSpec, cause error, data failedData) error {
	e.Outcome = audit.OutcomeFailure
	e.ErrorCode, e.ErrorMessage = explain(cause, data.DeniedBy)
	return s.signal(ctx, e, spec, data)
}

// event returns an event about a signal; without a request it belongs to the delivery.
func (s *Signal) event(eventType, action string, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) *audit.Event {
	e := &audit.Event{
		Type:          eventType,
		Action:        action,
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: request.Name,
		Severity:      printable.Storable(spec.Severity, maxSeverity),
		ActorType:     actorSource,
		ActorID:       s.delivery.actor(),
		ActorIP:       s.delivery.origin.Address,
		ResourceType:  requestKind,
		ResourceID:    request.Name,
		Namespace:     request.Namespace,
		ClusterID:     s.cluster(spec),
	}
	if request.Name == "" {
		e.CorrelationID, e.ResourceType = s.delivery.ID(), ""
		e.Namespace = signal.Namespace(spec.TargetResource)
	}
	return e
}

func (s *Signal) signal(ctx context.Context, e *audit.Event, spec *v1alpha1.RemediationRequestSpec, data any) error {
	return s.delivery.record(ctx, e, data, spec.SignalFingerprint, s.firingTime(spec).Format(time.RFC3339Nano))
}

// firingTime is when the signal began to fire according to its source; zero if
// the source does not say so. The time of receipt, which the spec has then, is
// another one in each retry.
func (s *Signal) firingTime(spec *v1alpha1.RemediationRequestSpec) time.Time {
	if s.observation.StartsAtNote != "" {
		return time.Time{}
	}
	return spec.FiringTime.UTC()
}

// cluster is the one that the signal names, else the Gateway's.
func (s *Signal) cluster(spec *v1alpha1.RemediationRequestSpec) string {
	if cluster := labelledCluster(spec); cluster != "" {
		return cluster
	}
	return s.delivery.origin.Cluster
}

// labelledCluster is the cluster that the signal names; empty if it names none.
func labelledCluster(spec *v1alpha1.RemediationRequestSpec) string {
	return printable.Storable(spec.Labels["cluster"], maxIdentity)
}

// explain returns the code and the message of a failure. They are the same for
// each retry, so the words are ours: a message of the network has ports in it, that
// of a quota what is used, that of a policy lists in any order. These are in the log.
func explain(err error, by admission.Denial) (code, message string) {
	var status apierrors.APIStatus
	var network *url.Error
	switch {
	case errors.As(err, &status):
		code, message = string(status.Status().Reason), "the API server rejected the request"
		if code == "" {
			code = "Denied"
		}
		if by != (admission.Denial{}) {
			message = "denied by " + by.Kind + " " + by.Name
		} else if fields := invalidFields(status.Status()); fields != "" {
			message = "the API server rejected these fields: " + fields
		}
	case errors.Is(err, context.DeadlineExceeded):
		code, message = "Timeout", "the API server did not answer in time"
	case errors.Is(err, context.Canceled):
		code, message = "Canceled", "the sender did not wait for the answer"
	case errors.As(err, &network):
		code, message = "Unreachable", "the API server cannot be reached"
	default:
		code, message = "Failed", "the request could not be created"
	}
	return code, printable.Storable(message, maxErrorMessage)
}

// invalidFields are the fields that the API server finds fault with, in order.
func invalidFields(status metav1.Status) string {
	if status.Details == nil {
		return ""
	}
	fields := make([]string, 0, len(status.Details.Causes))
	for _, cause := range status.Details.Causes {
		if cause.Field != "" {
			fields = append(fields, cause.Field)
		}
	}
	slices.Sort(fields)
	return strings.Join(slices.Compact(fields), ", ")
}
