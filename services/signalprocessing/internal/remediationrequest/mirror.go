package remediationrequest

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit/wire"
)

// maxMessage is the length of a message in characters.
const maxMessage = 1024

// creates reports whether a request in the phase gets a SignalProcessing if it has none.
func creates(phase v1alpha1.RemediationPhase) bool {
	switch phase {
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationClassified:
		return true
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting,
		v1alpha1.RemediationVerifying, v1alpha1.RemediationManualReview,
		v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}

// Begun reports whether a request in the phase has had a SignalProcessing. Until then, the
// cache of requests must have its signal.
func Begun(phase v1alpha1.RemediationPhase) bool {
	return phase != "" && phase != v1alpha1.RemediationPending
}

// unclassified reports whether the phase of the request is this package's to write: it
// has not been classified yet.
func unclassified(status *v1alpha1.RemediationRequestStatus) bool {
	switch status.Phase {
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing:
		return true
	case v1alpha1.RemediationManualReview:
		review := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionManualReview)
		return review != nil && review.Status == metav1.ConditionTrue && review.Reason == v1alpha1.ReasonProcessingFailed
	case v1alpha1.RemediationClassified, v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved,
		v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying,
		v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}

// mirror shows what the SignalProcessing found in the status of its request.
func mirror(rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing, now metav1.Time) {
	status := &rr.Status
	if status.Phase.Terminal() {
		return
	}
	m := mirrored{status: status, generation: rr.Generation, now: now}
	switch sp.Status.Phase {
	case v1alpha1.ProcessingCompleted:
		m.values(&sp.Status)
		m.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionTrue, v1alpha1.ReasonClassified, sp.Status.Message)
		switch {
		case !unclassified(status):
		case rr.Spec.SignalType == v1alpha1.SignalTypeOverflow:
			m.phase(v1alpha1.RemediationManualReview, "more problems than open requests are allowed: "+sp.Status.Message)
			m.condition(v1alpha1.ConditionManualReview, metav1.ConditionTrue, v1alpha1.ReasonOverflow, status.Message)
		default:
			m.phase(v1alpha1.RemediationClassified, sp.Status.Message)
			if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionManualReview) != nil {
				m.condition(v1alpha1.ConditionManualReview, metav1.ConditionFalse, v1alpha1.ReasonClassified, status.Message)
			}
		}
	case v1alpha1.ProcessingFailed:
		message := "signal processing failed: " + sp.Status.Message
		m.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionFalse, v1alpha1.ReasonProcessingFailed, message)
		if unclassified(status) {
			m.phase(v1alpha1.RemediationManualReview, message)
			m.condition(v1alpha1.ConditionManualReview, metav1.ConditionTrue, v1alpha1.ReasonProcessingFailed, message)
		}
	case "", v1alpha1.ProcessingPending, v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing:
		// Processing takes milliseconds unless it fails: that is worth a write.
		if sp.Status.Attempt == 0 || !unclassified(status) || status.Phase == v1alpha1.RemediationManualReview {
			return
		}
		m.phase(v1alpha1.RemediationProcessing, sp.Status.Message)
		m.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionUnknown, "InProgress", sp.Status.Message)
	}
	status.ObservedGeneration, status.SignalProcessingRef = rr.Generation, sp.Name
	if status.Deduplication == nil {
		// The Gateway counts from the second signal on; a write for the first one alone
		// would cost each request another one.
		received := rr.Spec.ReceivedTime
		status.Deduplication = &v1alpha1.Deduplication{FirstSeenAt: received, LastSeenAt: received, OccurrenceCount: 1}
	}
}

// mirrored is a status that is being changed.
type mirrored struct {
	status     *v1alpha1.RemediationRequestStatus
	generation int64
	now        metav1.Time
}

func (m mirrored) phase(phase v1alpha1.RemediationPhase, message string) {
	m.status.Phase, m.status.Message = phase, shown(message)
}

// condition sets a condition; its transition time changes only with its status.
func (m mirrored) condition(name string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&m.status.Conditions, metav1.Condition{
		Type: name, Status: value, ObservedGeneration: m.generation, LastTransitionTime: m.now,
		Reason: reason, Message: shown(message),
	})
}

func (m mirrored) values(found *v1alpha1.SignalProcessingStatus) {
	if found.Severity != nil {
		m.status.Severity = found.Severity.Value
	}
	if found.Environment != nil {
		m.status.Environment = found.Environment.Value
	}
	if found.Priority != nil {
		m.status.Priority = found.Priority.Value
	}
}

// shows reports whether the request shows what its SignalProcessing found.
func shows(rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) bool {
	after := rr.DeepCopy()
	mirror(after, sp, metav1.Time{})
	return equality.Semantic.DeepEqual(rr.Status, after.Status)
}

// sameForUs reports whether the parts of two statuses that this package writes are equal.
func sameForUs(a, b *v1alpha1.RemediationRequestStatus) bool {
	for _, name := range []string{v1alpha1.ConditionSignalProcessed, v1alpha1.ConditionManualReview} {
		if !equality.Semantic.DeepEqual(meta.FindStatusCondition(a.Conditions, name), meta.FindStatusCondition(b.Conditions, name)) {
			return false
		}
	}
	return a.Phase == b.Phase && a.SignalProcessingRef == b.SignalProcessingRef &&
		a.Severity == b.Severity && a.Environment == b.Environment && a.Priority == b.Priority
}

// shown is a message as tables show it: in one line, bounded, and without what is not visible. It may quote others.
func shown(message string) string {
	return wire.TruncateCharacters(printable.Line(message), maxMessage)
}
