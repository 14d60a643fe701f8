package resolve

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// decision is what to do with a request, and when.
type decision struct {
	// end is how the request ends; its phase is empty if it does not.
	end auditevents.RequestEnd
	// after is how long to wait for the end; it is due if this is not positive.
	after time.Duration
	// sweep is set for a finished request: whatever is proposed for it is invalidated.
	sweep bool
}

// decide says what to do with a request according to its own status.
func decide(rr *v1alpha1.RemediationRequest, staleAfter time.Duration, now time.Time) decision {
	if rr.DeletionTimestamp != nil {
		return decision{}
	}
	resolved := auditevents.RequestEnd{
		Phase: v1alpha1.RemediationSkipped, Reason: v1alpha1.ReasonResolvedBeforeExecution, Message: "no instance of the signal fires any more",
	}
	switch rr.Status.Phase {
	case v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
		return decision{sweep: true}
	case v1alpha1.RemediationClassified, v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved:
	case v1alpha1.RemediationManualReview:
		review := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview)
		if review == nil || review.Status != metav1.ConditionTrue ||
			review.Reason == v1alpha1.ReasonProcessingFailed || review.Reason == v1alpha1.ReasonOverflow {
			return decision{} // SignalProcessing's
		}
		resolved.Phase, resolved.Reason = v1alpha1.RemediationCompleted, v1alpha1.ReasonResolved
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying:
		return decision{}
	}
	if !rr.Fires() {
		return decision{end: resolved}
	}
	last := rr.LastSeenAt()
	return decision{after: last.Add(staleAfter).Sub(now), end: auditevents.RequestEnd{
		Phase: v1alpha1.RemediationSkipped, Reason: v1alpha1.ReasonStale,
		Message: fmt.Sprintf("no instance of the signal was repeated for %s", staleAfter),
	}}
}

// withExecutions adds to a decision what the executions of the request say.
func (d decision) withExecutions(rr *v1alpha1.RemediationRequest, executions []v1alpha1.WorkflowExecution) decision {
	for i := range executions {
		status := &executions[i].Status
		switch {
		case status.Phase == v1alpha1.ExecutionExecuting, status.Phase == v1alpha1.ExecutionVerifying:
			return decision{} // its result ends the request
		case status.Phase == v1alpha1.ExecutionSucceeded, status.Phase == v1alpha1.ExecutionFailed:
			if executions[i].Name == rr.Status.ExecutionRef && isProposed(rr) {
				return decision{} // the request does not show it yet
			}
		case status.Phase == v1alpha1.ExecutionInvalidated && status.Reason == v1alpha1.ReasonResolvedBeforeExecution &&
			d.end.Reason == v1alpha1.ReasonResolved:
			// The proposal was invalidated by this package, which did not get to the request.
			d.end.Phase, d.end.Reason = v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution
		}
	}
	return d
}

// isProposed reports whether a request shows an execution that has not started.
func isProposed(rr *v1alpha1.RemediationRequest) bool {
	return rr.Status.Phase == v1alpha1.RemediationAwaitingApproval || rr.Status.Phase == v1alpha1.RemediationApproved
}

// undecided reports whether an execution may still start.
func undecided(wfe *v1alpha1.WorkflowExecution) bool {
	switch wfe.Status.Phase {
	case "", v1alpha1.ExecutionProposed, v1alpha1.ExecutionApproved:
		return true
	case v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying, v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed,
		v1alpha1.ExecutionRejected, v1alpha1.ExecutionExpired, v1alpha1.ExecutionInvalidated:
	}
	return false
}

// finish shows the end of a request in its status.
func finish(rr *v1alpha1.RemediationRequest, end auditevents.RequestEnd, now metav1.MicroTime) {
	status := &rr.Status
	status.Phase, status.Message, status.CompletedAt, status.ObservedGeneration = end.Phase, end.Message, &now, rr.Generation
	condition := metav1.Condition{
		Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue, ObservedGeneration: rr.Generation,
		LastTransitionTime: metav1.NewTime(now.Time), Reason: end.Reason, Message: end.Message,
	}
	meta.SetStatusCondition(&status.Conditions, condition)
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionManualReview) {
		condition.Type, condition.Status = v1alpha1.ConditionManualReview, metav1.ConditionFalse
		meta.SetStatusCondition(&status.Conditions, condition)
	}
}
