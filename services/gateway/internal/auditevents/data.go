package auditevents

import (
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/signal"
)

// signalData is the event_data of an event about one signal. The payload and the
// provider's data of the first signal are in the event of the request's creation.
type signalData struct {
	Delivery       string                  `json:"delivery"`
	Source         string                  `json:"source"`
	Fingerprint    string                  `json:"fingerprint"`
	SignalName     string                  `json:"signal_name"`
	SignalType     v1alpha1.SignalType     `json:"signal_type"`
	SignalSource   string                  `json:"signal_source"`
	Severity       string                  `json:"severity,omitempty"`
	TargetResource v1alpha1.TargetResource `json:"target_resource"`
	// Instance identifies the alert among those of its request.
	Instance string `json:"instance"`
	// FiringTime is left out if the source does not say it in a usable form; then
	// FiringTimeNote says why.
	FiringTime     time.Time         `json:"firing_time,omitzero"`
	FiringTimeNote string            `json:"firing_time_note,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Annotations    map[string]string `json:"annotations,omitempty"`
}

type deduplicatedData struct {
	signalData

	// OldSeverity and NewSeverity are set if the severity is new to the request.
	OldSeverity string `json:"old_severity,omitempty"`
	NewSeverity string `json:"new_severity,omitempty"`
}

type failedData struct {
	signalData

	DeniedBy    admission.Denial `json:"denied_by,omitzero"`
	DeniedSince time.Time        `json:"denied_since,omitzero"`
}

type resolvedData struct {
	signalData

	ResolvedTime time.Time `json:"resolved_time,omitzero"`
	Ignored      bool      `json:"ignored,omitempty"`
}

// createdData holds the whole spec, so that a request can be restored from its trail.
type createdData struct {
	Name        string                          `json:"name"`
	Namespace   string                          `json:"namespace"`
	UID         string                          `json:"uid"`
	Fingerprint string                          `json:"fingerprint"`
	Spec        v1alpha1.RemediationRequestSpec `json:"spec"`
}

type truncatedData struct {
	Delivery        string `json:"delivery"`
	Source          string `json:"source"`
	TruncatedAlerts uint64 `json:"truncated_alerts"`
	Group           string `json:"group,omitempty"`
	Receiver        string `json:"receiver,omitempty"`
}

type rejectedData struct {
	// Delivery is set for a signal, RequestID for a body.
	Delivery    string            `json:"delivery,omitempty"`
	RequestID   string            `json:"request_id,omitempty"`
	Source      string            `json:"source"`
	FieldErrors map[string]string `json:"field_errors,omitempty"`
}

func (s *Signal) data(spec *v1alpha1.RemediationRequestSpec) signalData {
	return signalData{
		Delivery:       s.delivery.ID(),
		Source:         s.delivery.origin.Source,
		Fingerprint:    spec.SignalFingerprint,
		SignalName:     spec.SignalName,
		SignalType:     spec.SignalType,
		SignalSource:   spec.SignalSource,
		Severity:       spec.Severity,
		TargetResource: spec.TargetResource,
		Instance:       signal.InstanceID(spec.Labels),
		FiringTime:     s.firingTime(spec),
		FiringTimeNote: s.observation.StartsAtNote,
		Labels:         spec.Labels,
		Annotations:    spec.Annotations,
	}
}
