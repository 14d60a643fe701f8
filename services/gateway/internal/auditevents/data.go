package auditevents

import (
	"time"

	"kubernaut.ai/api/v1alpha1"
)

// signalData is the event_data of an event about one signal. The payload and the
// provider's data of the first signal are in the event of the request's creation.
type signalData struct {
	RequestID      string                  `json:"request_id"`
	Source         string                  `json:"source"`
	Fingerprint    string                  `json:"fingerprint"`
	SignalName     string                  `json:"signal_name"`
	SignalType     v1alpha1.SignalType     `json:"signal_type"`
	SignalSource   string                  `json:"signal_source"`
	Severity       string                  `json:"severity,omitempty"`
	TargetResource v1alpha1.TargetResource `json:"target_resource"`
	FiringTime     time.Time               `json:"firing_time"`
	ReceivedTime   time.Time               `json:"received_time"`
	Labels         map[string]string       `json:"labels,omitempty"`
	Annotations    map[string]string       `json:"annotations,omitempty"`
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
	RequestID       string `json:"request_id"`
	Source          string `json:"source"`
	TruncatedAlerts uint64 `json:"truncated_alerts"`
	Group           string `json:"group,omitempty"`
	Receiver        string `json:"receiver,omitempty"`
}

type rejectedData struct {
	RequestID   string            `json:"request_id"`
	Source      string            `json:"source"`
	FieldErrors map[string]string `json:"field_errors,omitempty"`
}

func (t *Trail) signalData(spec *v1alpha1.RemediationRequestSpec) signalData {
	return signalData{
		RequestID:      t.origin.RequestID,
		Source:         t.origin.Source,
		Fingerprint:    spec.SignalFingerprint,
		SignalName:     spec.SignalName,
		SignalType:     spec.SignalType,
		SignalSource:   spec.SignalSource,
		Severity:       spec.Severity,
		TargetResource: spec.TargetResource,
		FiringTime:     spec.FiringTime.UTC(),
		ReceivedTime:   spec.ReceivedTime.UTC(),
		Labels:         spec.Labels,
		Annotations:    spec.Annotations,
	}
}
