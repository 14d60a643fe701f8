package auditevents

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The events of a verification, and of the end of a request.
const (
	TypeVerificationStarted = "remediation.verification.started"
	TypeVerificationPassed  = "remediation.verification.passed" //nolint:gosec // the name of an event
	TypeVerificationFailed  = "remediation.verification.failed"
	TypeInstanceUnknown     = "remediation.instance.unknown"
	TypeProposalInvalidated = "remediation.approval.invalidated"
	TypeRequestCompleted    = "remediation.request.completed"
	TypeRequestSkipped      = "remediation.request.skipped"
)

// Watched is what a verification has seen of a request.
type Watched struct {
	// Deadline is when every instance has to be resolved.
	Deadline time.Time
	// Firing and Gone are the names of instances: those that are listed as firing, and those of
	// them whose object is gone.
	Firing, Gone []string
	// Unlisted counts firing instances beyond those that the request lists.
	Unlisted int64
	// LatestStart is when the latest firing began.
	LatestStart time.Time
}

// begun is the data of TypeVerificationStarted. It says nothing of the signal, which may change
// before a repetition: that would be another event.
type begun struct {
	Execution    string                   `json:"execution"`
	ExecutionUID types.UID                `json:"execution_uid"`
	Workflow     v1alpha1.WorkflowRef     `json:"workflow"`
	Target       v1alpha1.ExecutionTarget `json:"target"`
	FinishedAt   *metav1.MicroTime        `json:"execution_finished_at"`
	// ResolveBy is when every instance has to be resolved.
	ResolveBy time.Time `json:"resolve_by"`
}

// watched is what an event says of the signal.
type watched struct {
	begun

	// Firing names the instances that are listed as firing.
	Firing []string `json:"firing"`
	// Gone names the firing instances whose object is gone.
	Gone []string `json:"gone"`
	// Unlisted counts firing instances beyond those that the request lists.
	Unlisted int64 `json:"unlisted"`
	// LatestStart is when the latest firing began.
	LatestStart time.Time `json:"latest_start"`
}

func begunOf(wfe *v1alpha1.WorkflowExecution, resolveBy time.Time) begun {
	return begun{
		Execution: wfe.Name, ExecutionUID: wfe.UID, Workflow: wfe.Spec.Workflow, Target: wfe.Spec.Target,
		FinishedAt: wfe.Status.FinishedAt, ResolveBy: resolveBy.UTC(),
	}
}

func watchedOf(wfe *v1alpha1.WorkflowExecution, w *Watched) watched {
	return watched{
		begun: begunOf(wfe, w.Deadline), Firing: w.Firing, Gone: w.Gone, Unlisted: w.Unlisted, LatestStart: w.LatestStart.UTC(),
	}
}

// VerificationStarted records that the effect of an execution is observed from now on.
func VerificationStarted(wfe *v1alpha1.WorkflowExecution, resolveBy time.Time) (*audit.Event, error) {
	return verification(wfe, TypeVerificationStarted, "verify", audit.OutcomePending, begunOf(wfe, resolveBy))
}

// Verdict is the result of a verification.
type Verdict struct {
	Outcome v1alpha1.Outcome
	// Message says in a sentence what was found.
	Message string
	// Rollback names the workflow that is proposed now; may be empty.
	Rollback string
}

// verified is the data of TypeVerificationPassed and TypeVerificationFailed.
type verified struct {
	watched

	StartedAt *metav1.MicroTime `json:"started_at"`
	// ResolvedAt is when every instance had resolved, or its object was gone.
	ResolvedAt *metav1.MicroTime `json:"resolved_at,omitempty"`
	// StableAt is when the stabilization ends.
	StableAt *metav1.MicroTime `json:"stable_at,omitempty"`
	Result   v1alpha1.Outcome  `json:"result"`
	// Message says in a sentence what was found.
	Message string `json:"message"`
	// Rollback names the workflow that is proposed next.
	Rollback string `json:"rollback,omitempty"`
}

// VerificationEnded records the result of a verification: passed if the execution was
// effective, failed otherwise.
func VerificationEnded(wfe *v1alpha1.WorkflowExecution, w *Watched, v Verdict) (*audit.Event, error) {
	eventType, outcome := TypeVerificationFailed, audit.OutcomeFailure
	if v.Outcome == v1alpha1.OutcomeEffective {
		eventType, outcome = TypeVerificationPassed, audit.OutcomeSuccess
	}
	var began, resolved, stable *metav1.MicroTime
	if seen := wfe.Status.Verification; seen != nil {
		began, resolved, stable = &seen.StartedAt, seen.ResolvedAt, seen.StableAt
	}
	return verification(wfe, eventType, "verify", outcome, verified{
		watched: watchedOf(wfe, w), StartedAt: began, ResolvedAt: resolved, StableAt: stable,
		Result: v.Outcome, Message: v.Message, Rollback: v.Rollback,
	})
}

// unknown is the data of TypeInstanceUnknown.
type unknown struct {
	Execution string   `json:"execution"`
	Instances []string `json:"instances"`
	// Unlisted counts instances beyond those that the request lists.
	Unlisted int64 `json:"unlisted"`
	// StaleAfter is how long an instance may go without a repeat, as a Go duration.
	StaleAfter string `json:"stale_after"`
}

// InstancesUnknown records that instances were not repeated for so long that nobody knows
// whether they fire.
func InstancesUnknown(wfe *v1alpha1.WorkflowExecution, names []string, unlisted int64, after time.Duration) (*audit.Event, error) {
	return verification(wfe, TypeInstanceUnknown, "verify", audit.OutcomeSuccess, unknown{wfe.Name, names, unlisted, after.String()})
}

// verification makes an event about an execution, whose id is derived from the execution and
// the content.
func verification(wfe *v1alpha1.WorkflowExecution, eventType, action string, outcome audit.Outcome, data any) (*audit.Event, error) {
	return OfExecution(wfe, Content{Type: eventType, Action: action, Outcome: outcome, Data: data})
}

// invalidated is the data of TypeProposalInvalidated.
type invalidated struct {
	Execution    string                   `json:"execution"`
	ExecutionUID types.UID                `json:"execution_uid"`
	Workflow     v1alpha1.WorkflowRef     `json:"workflow"`
	Target       v1alpha1.ExecutionTarget `json:"target"`
	PlanDigest   string                   `json:"plan_digest"`
	Reason       string                   `json:"reason"`
	// Message says in a sentence what does not fit.
	Message string `json:"message"`
}

// Invalidated records that a proposal does not fit any more, and why.
func Invalidated(wfe *v1alpha1.WorkflowExecution, reason, message string) (*audit.Event, error) {
	return verification(wfe, TypeProposalInvalidated, "invalidate", audit.OutcomeSuccess, invalidated{
		wfe.Name, wfe.UID, wfe.Spec.Workflow, wfe.Spec.Target, wfe.Spec.PlanDigest, reason, message,
	})
}

// RequestEnd is why a request ends.
type RequestEnd struct {
	Phase v1alpha1.RemediationPhase
	// Reason is the reason of the condition Finished.
	Reason, Message string
	// Execution is the one that helped; may be empty.
	Execution string
}

// finished is the data of TypeRequestCompleted and TypeRequestSkipped.
type finished struct {
	// Reason of the condition Finished.
	Reason string                    `json:"reason"`
	From   v1alpha1.RemediationPhase `json:"from"`
	To     v1alpha1.RemediationPhase `json:"to"`
	// Occurrences counts the signals of the request.
	Occurrences int64 `json:"occurrences"`
	// LastSeenAt is when the latest signal of the request arrived.
	LastSeenAt metav1.MicroTime `json:"last_seen_at"`
	// Execution is the one that helped.
	Execution string `json:"execution,omitempty"`
	Message   string `json:"message"`
}

// RequestEnded records that a request is completed or skipped.
func RequestEnded(rr *v1alpha1.RemediationRequest, end RequestEnd) (*audit.Event, error) {
	eventType, action := TypeRequestCompleted, "complete"
	if end.Phase == v1alpha1.RemediationSkipped {
		eventType, action = TypeRequestSkipped, "skip"
	}
	from := rr.Status.Phase
	// The signals that were seen tell an end from one that a signal prevented.
	return OfRequest(rr, Content{Type: eventType, Action: action, Outcome: audit.OutcomeSuccess, Data: finished{
		end.Reason, from, end.Phase, rr.Occurrences(), rr.LastSeenAt(), end.Execution, end.Message,
	}})
}
