package retention

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

// action is what to do with a request.
type action int

const (
	// leave: nothing, until the request changes.
	leave action = iota
	// end: no instance fires, or none was repeated.
	end
	// expire: delete it.
	expire
	// release: somebody has deleted it; remove the finalizer.
	release
)

// decision is an action with its parameters.
type decision struct {
	action action
	// after is how long to wait; the action is due if it is not positive.
	after time.Duration
	// reason and message say why a request ends.
	reason, message string
}

// decide says what to do with a request. It needs of the spec only the time of receipt,
// and of the instances only the one that was seen last.
func (o Options) decide(rr *v1alpha1.RemediationRequest, now time.Time) decision {
	switch {
	case rr.DeletionTimestamp != nil && !finalizedByUs(rr):
		return decision{action: leave}
	case rr.DeletionTimestamp != nil:
		return decision{action: release}
	case rr.Status.Phase.Terminal():
		return decision{action: expire, after: endOf(rr).Add(o.FinishedTTL).Sub(now)}
	case !o.mayEnd(&rr.Status):
		return decision{action: leave}
	case !rr.Fires():
		return decision{
			action: end, reason: v1alpha1.ReasonResolvedBeforeExecution, message: "no instance of the signal fires any more",
		}
	}
	last := rr.LastSeenAt()
	return decision{
		action: end, after: last.Add(o.StaleAfter).Sub(now), reason: v1alpha1.ReasonStale,
		message: fmt.Sprintf("no instance of the signal was repeated for %s", o.StaleAfter),
	}
}

// endOf is when a finished request has ended, as far as it tells.
func endOf(rr *v1alpha1.RemediationRequest) time.Time {
	if rr.Status.CompletedAt != nil {
		return rr.Status.CompletedAt.Time
	}
	return rr.CreationTimestamp.Time
}

// expired reports whether a request was finished for long enough to be deleted.
func (o Options) expired(rr *v1alpha1.RemediationRequest, now time.Time) bool {
	return rr.Status.Phase.Terminal() && !endOf(rr).Add(o.FinishedTTL).After(now)
}

// mayEnd reports whether the phase is one that this service ends: those before Classified, a
// review that this service asked for, and Classified unless that is left to others.
func (o Options) mayEnd(status *v1alpha1.RemediationRequestStatus) bool {
	switch status.Phase {
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing:
		return true
	case v1alpha1.RemediationClassified:
		return !o.LeaveClassified
	case v1alpha1.RemediationManualReview:
		review := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionManualReview)
		return review != nil && review.Status == metav1.ConditionTrue &&
			(review.Reason == v1alpha1.ReasonProcessingFailed || review.Reason == v1alpha1.ReasonOverflow)
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting,
		v1alpha1.RemediationVerifying, v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}
