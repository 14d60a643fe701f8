package requests

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/executions"
)

// maxMessage is the length of a message in characters.
const maxMessage = 1024

// selectWorkflow has a workflow selected, and shows the proposal, or why there is none.
func (r *Reconciler) selectWorkflow(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	found, err := r.Selector.Select(ctx, rr)
	if err != nil {
		return fmt.Errorf("select a workflow: %w", err)
	}
	severity := rr.Status.Severity
	if found.Execution == nil {
		if err := r.review(ctx, rr, found.Reason, found.Message); err != nil {
			return err
		}
	} else {
		earlier := *rr
		earlier.Status = *rr.Status.DeepCopy()
		earlier.Status.ExecutionRef = found.Execution.Name
		if err := r.show(ctx, &earlier, found.Execution); err != nil {
			return err
		}
		rr.Status = earlier.Status
	}
	rr.Status.SelectedSeverity = severity
	return nil
}

// mirror shows what has become of the execution that the request refers to.
func (r *Reconciler) mirror(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	if rr.Status.ExecutionRef == "" {
		return nil
	}
	wfe := &v1alpha1.WorkflowExecution{}
	key := client.ObjectKey{Namespace: rr.Namespace, Name: rr.Status.ExecutionRef}
	err := r.Live.Get(ctx, key, wfe)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read WorkflowExecution %s: %w", key, err)
	case err != nil || wfe.Spec.Request.UID != rr.UID:
		if rr.Status.Phase == v1alpha1.RemediationManualReview {
			return nil
		}
		return r.review(ctx, rr, v1alpha1.ReasonInconclusive,
			fmt.Sprintf("WorkflowExecution %s is gone: look at the target, then retry or close the request", key.Name))
	}
	if err := r.answered(ctx, rr, wfe); err != nil {
		return err
	}
	if rr.Status.ExecutionRef != wfe.Name {
		return nil
	}
	return r.show(ctx, rr, wfe)
}

// answered moves on to the rollback that is proposed because an execution did not help.
func (r *Reconciler) answered(ctx context.Context, rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution) error {
	if !wfe.Status.Phase.Terminal() || wfe.Status.Outcome == v1alpha1.OutcomeEffective {
		return nil
	}
	next := &v1alpha1.WorkflowExecution{}
	key := client.ObjectKey{Namespace: rr.Namespace, Name: executions.NextName(rr)}
	if err := r.Live.Get(ctx, key, next); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("read WorkflowExecution %s: %w", key, err)
	}
	if next.Spec.Request.UID != rr.UID || next.Spec.RollbackOf != wfe.Name {
		return nil
	}
	if err := r.show(ctx, rr, wfe); err != nil {
		return err
	}
	rr.Status.ExecutionRef = next.Name
	return r.show(ctx, rr, next)
}

// show derives the request's phase from its execution.
func (r *Reconciler) show(ctx context.Context, rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution) error {
	if over := wfe.Status.FinishedAt; over != nil && wfe.Status.StartedAt != nil {
		rr.Status.RemediatedAt = over.DeepCopy()
	}
	r.guardRail(rr, wfe)
	switch wfe.Status.Phase {
	case "", v1alpha1.ExecutionProposed:
		if wfe.Spec.Approval == v1alpha1.ApprovalNone {
			return r.review(ctx, rr, v1alpha1.ReasonProposalOnly, "proposal "+wfe.Name+" cannot be approved: "+wfe.Spec.ApprovalReason)
		}
		r.phase(rr, v1alpha1.RemediationAwaitingApproval, fmt.Sprintf("workflow %s is proposed in %s: %s", wfe.Spec.Workflow.Name, wfe.Name, wfe.Spec.Reason))
	case v1alpha1.ExecutionApproved:
		r.phase(rr, v1alpha1.RemediationApproved, messageOf(wfe, "approved"))
	case v1alpha1.ExecutionExecuting:
		r.phase(rr, v1alpha1.RemediationExecuting, messageOf(wfe, "workflow "+wfe.Spec.Workflow.Name+" is being executed"))
	case v1alpha1.ExecutionVerifying:
		r.phase(rr, v1alpha1.RemediationVerifying, messageOf(wfe, "the effect is being observed"))
	case v1alpha1.ExecutionSucceeded:
		return r.succeeded(ctx, rr, wfe)
	case v1alpha1.ExecutionFailed:
		reason := v1alpha1.ReasonExecutionFailed
		if wfe.Status.Outcome == v1alpha1.OutcomeInconclusive {
			reason = v1alpha1.ReasonInconclusive
		}
		return r.review(ctx, rr, reason, messageOf(wfe, "the execution failed"))
	case v1alpha1.ExecutionRejected:
		return r.review(ctx, rr, v1alpha1.ReasonProposalRejected, messageOf(wfe, "the proposal was rejected"))
	case v1alpha1.ExecutionExpired:
		return r.review(ctx, rr, v1alpha1.ReasonProposalExpired, messageOf(wfe, "nobody decided on the proposal in time"))
	case v1alpha1.ExecutionInvalidated:
		return r.review(ctx, rr, v1alpha1.ReasonProposalInvalidated, messageOf(wfe, "the proposal no longer fits"))
	}
	return nil
}

// guardRail shows the guard rail that holds back the execution, or for which a person decides.
func (r *Reconciler) guardRail(rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution) {
	is := meta.FindStatusCondition(wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
	if is == nil || is.Status != metav1.ConditionTrue || wfe.Status.Phase.Terminal() {
		meta.RemoveStatusCondition(&rr.Status.Conditions, v1alpha1.ConditionGuardRail)
		return
	}
	r.condition(rr, v1alpha1.ConditionGuardRail, metav1.ConditionTrue, is.Reason, wfe.Name+": "+is.Message)
}

// succeeded ends the request if its execution helped.
func (r *Reconciler) succeeded(ctx context.Context, rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution) error {
	switch wfe.Status.Outcome {
	case v1alpha1.OutcomeEffective:
		// A signal may have arrived since the verification looked last. From the end of the
		// request on, the Gateway opens another one for it.
		if latest := rr.LatestStart(); wfe.Status.FinishedAt != nil && latest.After(wfe.Status.FinishedAt.Time) {
			return r.review(ctx, rr, v1alpha1.ReasonIneffective, messageOf(wfe, "effective")+", but the signal began to fire again at the end of the stabilization")
		}
		message := messageOf(wfe, "workflow "+wfe.Spec.Workflow.Name+" was effective")
		return r.complete(ctx, rr, v1alpha1.ReasonEffective, message, wfe)
	case v1alpha1.OutcomeIneffective:
		return r.review(ctx, rr, v1alpha1.ReasonIneffective, messageOf(wfe, "the execution did not help"))
	case v1alpha1.OutcomeInconclusive:
	}
	return r.review(ctx, rr, v1alpha1.ReasonInconclusive, messageOf(wfe, "nobody knows whether the execution helped"))
}

// complete records that the request is completed, and shows it. wfe is the execution that helped.
func (r *Reconciler) complete(ctx context.Context, rr *v1alpha1.RemediationRequest, reason, message string, wfe *v1alpha1.WorkflowExecution) error {
	e, err := auditevents.RequestEnded(rr, auditevents.RequestEnd{
		Phase: v1alpha1.RemediationCompleted, Reason: reason, Message: shown(message), Execution: wfe.Name,
	})
	if err := auditevents.Record(ctx, r.Audit, e, err); err != nil {
		return err
	}
	r.finish(rr, reason, message)
	return nil
}

// finish shows that the request is completed.
func (r *Reconciler) finish(rr *v1alpha1.RemediationRequest, reason, message string) {
	now := metav1.NewMicroTime(r.Clock.Now())
	r.phase(rr, v1alpha1.RemediationCompleted, message)
	rr.Status.CompletedAt = &now
	r.condition(rr, v1alpha1.ConditionFinished, metav1.ConditionTrue, reason, message)
}

// review records that a person is needed, and shows it; nothing if the request shows it already.
func (r *Reconciler) review(ctx context.Context, rr *v1alpha1.RemediationRequest, reason, message string) error {
	message = shown(message)
	is := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview)
	if rr.Status.Phase == v1alpha1.RemediationManualReview && is != nil && is.Status == metav1.ConditionTrue && is.Reason == reason {
		return nil
	}
	e, err := auditevents.ManualReview(rr, reason, message)
	if err := auditevents.Record(ctx, r.Audit, e, err); err != nil {
		return err
	}
	rr.Status.Phase, rr.Status.Message = v1alpha1.RemediationManualReview, message
	r.condition(rr, v1alpha1.ConditionManualReview, metav1.ConditionTrue, reason, message)
	return nil
}

// unproposed reports whether the request waits for a person because the latest selection proposed
// nothing: the execution that it refers to is an earlier one.
func unproposed(rr *v1alpha1.RemediationRequest) bool {
	is := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview)
	return is != nil && (is.Reason == v1alpha1.ReasonNoWorkflow || is.Reason == v1alpha1.ReasonPolicyError)
}

// escalate selects again after the severity of a request has risen since the latest selection.
func (r *Reconciler) escalate(rr *v1alpha1.RemediationRequest) bool {
	from, to := rr.Status.SelectedSeverity, rr.Status.Severity
	if from == "" || rank(to) <= rank(from) {
		return false
	}
	message := fmt.Sprintf("the severity rose from %s to %s", from, to)
	r.phase(rr, v1alpha1.RemediationClassified, message)
	r.condition(rr, v1alpha1.ConditionManualReview, metav1.ConditionFalse, v1alpha1.ReasonEscalated, message)
	return true
}

func rank(s v1alpha1.Severity) int {
	switch s {
	case v1alpha1.SeverityCritical:
		return 4
	case v1alpha1.SeverityHigh:
		return 3
	case v1alpha1.SeverityMedium:
		return 2
	case v1alpha1.SeverityLow:
		return 1
	case v1alpha1.SeverityUnknown:
	}
	return 0
}

// phase shows a phase other than ManualReview.
func (r *Reconciler) phase(rr *v1alpha1.RemediationRequest, phase v1alpha1.RemediationPhase, message string) {
	rr.Status.Phase, rr.Status.Message = phase, shown(message)
	if is := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview); is != nil && is.Status == metav1.ConditionTrue {
		r.condition(rr, v1alpha1.ConditionManualReview, metav1.ConditionFalse, string(phase), message)
	}
}

func (r *Reconciler) condition(rr *v1alpha1.RemediationRequest, name string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&rr.Status.Conditions, metav1.Condition{
		Type: name, Status: value, ObservedGeneration: rr.Generation, LastTransitionTime: metav1.NewTime(r.Clock.Now()),
		Reason: reason, Message: shown(message),
	})
}

func messageOf(wfe *v1alpha1.WorkflowExecution, otherwise string) string {
	if wfe.Status.Message != "" {
		return wfe.Name + ": " + wfe.Status.Message
	}
	return wfe.Name + ": " + otherwise
}

// shown is a message as tables show it: in one line, bounded, and without what is not visible.
func shown(message string) string {
	return wire.TruncateCharacters(printable.Line(message), maxMessage)
}
