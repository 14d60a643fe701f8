package execute

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// execute takes a started execution to its end.
func (s *Stage) execute(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	if wfe.Status.StartedAt == nil {
		return 0, fmt.Errorf("execution %s/%s is Executing without a start", wfe.Namespace, wfe.Name)
	}
	held, paused, err := s.enter(ctx, wfe)
	if err != nil {
		return 0, err
	}
	if !held {
		return s.hold(ctx, wfe, nil, &stop{reasonLease, "another execution works below the same top owner", retryDelay}, time.Hour)
	}
	gated, err := s.gate(ctx, wfe, paused)
	if err != nil {
		return 0, err
	}
	w, why, err := s.look(ctx, wfe)
	if err != nil {
		return 0, err
	}
	// A Job may delete its own target: only the creation of the Job needs it.
	job := w != nil && w.workflow.Spec.Job != nil
	if why != nil && (!job || why.reason != reasonTargetGone) {
		return s.inconclusive(ctx, wfe, w, why)
	}
	timeout := w.workflow.Spec.Timeout.Duration
	if job {
		return s.runJob(ctx, wfe, w, jobStops{gated: gated, gone: why}, timeout)
	}
	if w.target.GetAnnotations()[v1alpha1.AnnotationExecution] == string(wfe.UID) {
		return s.changed(ctx, wfe, w)
	}
	if gated != nil {
		return s.hold(ctx, wfe, w, gated, timeout)
	}
	if s.late(wfe, timeout) {
		return s.timedOut(ctx, wfe, w, timeout)
	}
	return s.write(ctx, wfe, w, timeout)
}

// write makes the one write of an action, if the target is in the state that was approved.
func (s *Stage) write(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, timeout time.Duration) (time.Duration, error) {
	why, err := s.prepare(ctx, wfe, w, wfe.Status.StartedAt.Time)
	if err != nil {
		return 0, err
	}
	if why != nil {
		return s.inconclusive(ctx, wfe, w, why)
	}
	writing, cancel := context.WithTimeout(ctx, wfe.Status.StartedAt.Add(timeout).Sub(s.Clock.Now()))
	defer cancel()
	after, err := w.step.Write(writing, w.account, wfe.UID)
	if err != nil {
		if why, err = s.refused(ctx, wfe, w, err); err != nil {
			return 0, err
		}
		// The API server has refused it, and would refuse it from every process.
		return s.fail(ctx, wfe, w, auditevents.Ended{Reason: why.reason, Message: why.message + "; nothing was changed"})
	}
	w.target = after
	return s.changed(ctx, wfe, w)
}

// changed ends an execution whose mark the target has.
func (s *Stage) changed(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world) (time.Duration, error) {
	t := &wfe.Spec.Target
	return s.complete(ctx, wfe, auditevents.Ended{
		Account: s.Accounts.Username(w.workflow.Spec.ServiceAccountName), GenerationAfter: w.target.GetGeneration(),
		Message: fmt.Sprintf("changed %s %s/%s", t.Kind, t.Namespace, t.Name),
	})
}

// hold waits until the timeout.
func (s *Stage) hold(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, why *stop, timeout time.Duration) (time.Duration, error) {
	switch {
	case why.retry == 0:
		return s.inconclusive(ctx, wfe, w, why)
	case s.late(wfe, timeout):
		return s.timedOut(ctx, wfe, w, timeout)
	}
	return wait(wfe, *why), nil
}

func (s *Stage) late(wfe *v1alpha1.WorkflowExecution, timeout time.Duration) bool {
	return !s.Clock.Now().Before(wfe.Status.StartedAt.Add(timeout))
}

// timedOut ends an execution that has not taken place in time, as far as one can see: a
// write that is under way may still arrive.
func (s *Stage) timedOut(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, timeout time.Duration) (time.Duration, error) {
	return s.fail(ctx, wfe, w, auditevents.Ended{
		Reason: reasonTimedOut, Outcome: v1alpha1.OutcomeInconclusive,
		Message: fmt.Sprintf("not done within %s; at the last look the target had not been changed by this execution", timeout),
	})
}

// inconclusive ends a started execution that cannot go on: whether an earlier process
// changed the target is unknown, so a person decides.
func (s *Stage) inconclusive(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, why *stop) (time.Duration, error) {
	reason := why.reason
	if reason == reasonTargetChanged || reason == reasonNotApplicable {
		reason = reasonInconclusive
	}
	return s.fail(ctx, wfe, w, auditevents.Ended{
		Reason: reason, Outcome: v1alpha1.OutcomeInconclusive,
		Message: why.message + "; the target has no mark of this execution, and it is unknown whether it was changed: look at it and decide",
	})
}
