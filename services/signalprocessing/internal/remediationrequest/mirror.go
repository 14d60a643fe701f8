package remediationrequest

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit/wire"
)

// ConditionProcessed is true once the request's signal is classified, false if
// processing failed, and unknown before.
const ConditionProcessed = "SignalProcessed"

// owned reports whether this service writes the status of requests in the phase.
func owned(phase v1alpha1.RemediationPhase) bool {
	switch phase {
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationClassified:
		return true
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting,
		v1alpha1.RemediationVerifying, v1alpha1.RemediationManualReview,
		v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}

// mirrored returns the part of a request's status that is derived from its
// SignalProcessing: exactly the fields that this service owns.
func mirrored(rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing, now metav1.Time) *v1alpha1.RemediationRequestStatus {
	status := &v1alpha1.RemediationRequestStatus{
		ObservedGeneration:  rr.Generation,
		SignalProcessingRef: sp.Name,
		Message:             sp.Status.Message,
	}
	condition := metav1.Condition{
		Type:               ConditionProcessed,
		Status:             metav1.ConditionUnknown,
		ObservedGeneration: rr.Generation,
		LastTransitionTime: now,
		Reason:             "InProgress",
	}
	switch sp.Status.Phase {
	case "", v1alpha1.ProcessingPending:
		status.Phase = v1alpha1.RemediationPending
		status.Message = "waiting for signal processing"
	case v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing:
		status.Phase = v1alpha1.RemediationProcessing
	case v1alpha1.ProcessingCompleted:
		status.Phase = v1alpha1.RemediationClassified
		condition.Status, condition.Reason = metav1.ConditionTrue, "Classified"
	case v1alpha1.ProcessingFailed:
		status.Phase = v1alpha1.RemediationManualReview
		status.Message = wire.TruncateCharacters("signal processing failed: "+sp.Status.Message, maxMessage)
		condition.Status, condition.Reason = metav1.ConditionFalse, "ProcessingFailed"
	}
	if sp.Status.Severity != nil {
		status.Severity = sp.Status.Severity.Value
	}
	if sp.Status.Environment != nil {
		status.Environment = sp.Status.Environment.Value
	}
	if sp.Status.Priority != nil {
		status.Priority = sp.Status.Priority.Value
	}
	condition.Message = status.Message
	// Only our own condition is applied. Its transition time changes only with its status.
	if before := meta.FindStatusCondition(rr.Status.Conditions, ConditionProcessed); before != nil {
		status.Conditions = []metav1.Condition{*before.DeepCopy()}
	}
	meta.SetStatusCondition(&status.Conditions, condition)
	return status
}

// maxMessage is the length of a message in characters.
const maxMessage = 1024

// shows reports whether a request's status contains the mirrored part.
func shows(status, part *v1alpha1.RemediationRequestStatus) bool {
	before := meta.FindStatusCondition(status.Conditions, ConditionProcessed)
	after := meta.FindStatusCondition(part.Conditions, ConditionProcessed)
	return status.Phase == part.Phase &&
		status.Message == part.Message &&
		status.ObservedGeneration == part.ObservedGeneration &&
		status.SignalProcessingRef == part.SignalProcessingRef &&
		status.Severity == part.Severity &&
		status.Environment == part.Environment &&
		status.Priority == part.Priority &&
		status.CompletedAt.Equal(part.CompletedAt) &&
		equality.Semantic.DeepEqual(before, after)
}
