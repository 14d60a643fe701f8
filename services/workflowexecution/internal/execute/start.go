package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// start takes an approved execution to its start, which is recorded, and stored, before
// anything is touched.
func (s *Stage) start(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	held, paused, err := s.enter(ctx, wfe)
	if err != nil {
		return 0, err
	}
	if !held {
		return wait(wfe, stop{reasonLease, "another execution works below the same top owner", retryDelay}), nil
	}
	w, why, err := s.admissible(ctx, wfe, paused)
	switch {
	case err != nil:
		return 0, err
	case why == nil:
	case why.retry > 0:
		return wait(wfe, *why), s.standDown(ctx, wfe)
	case why.reason == reasonTargetChanged, why.reason == reasonTargetGone, why.reason == reasonWorkflowChanged, why.reason == reasonDecision:
		return 0, s.invalidate(ctx, wfe, why)
	default:
		return s.fail(ctx, wfe, w, auditevents.Ended{
			GenerationBefore: generation(w), Reason: why.reason, Message: why.message + "; nothing was changed",
		})
	}
	if w.workflow.Spec.Job != nil && !controllerutil.ContainsFinalizer(wfe, v1alpha1.FinalizerJob) {
		return again, s.addFinalizer(ctx, wfe)
	}
	return s.begin(ctx, wfe, w)
}

// admissible checks everything that a start depends on, the dry run last.
func (s *Stage) admissible(ctx context.Context, wfe *v1alpha1.WorkflowExecution, paused *stop) (*world, *stop, error) {
	blocked, retry, err := s.Rails.Blocked(ctx, wfe)
	if err != nil {
		return nil, nil, fmt.Errorf("execution %s/%s: check the guard rails: %w", wfe.Namespace, wfe.Name, err)
	}
	switch {
	case blocked != "" && retry > 0:
		return nil, &stop{reasonRail, blocked, retry}, nil
	case paused != nil:
		return nil, paused, nil
	case blocked != "":
		return nil, &stop{reason: reasonDecision, message: "the decision does not count any more: " + blocked}, nil
	}
	if why, err := s.counts(ctx, wfe); why != nil || err != nil {
		return nil, why, err
	}
	w, why, err := s.look(ctx, wfe)
	if why != nil || err != nil {
		return w, why, err
	}
	if why, err = s.prepare(ctx, wfe, w, s.Clock.Now()); why != nil || err != nil || w.step == nil {
		return w, why, err
	}
	if err := w.step.DryRun(ctx, w.account, wfe.UID); err != nil {
		why, err = s.refused(ctx, wfe, w, err)
		return w, why, err
	}
	return w, nil, nil
}

// begin records the start and shows it.
func (s *Stage) begin(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world) (time.Duration, error) {
	needed, err := before(w.workflow.Spec.Verification.Condition, w.target)
	if err != nil {
		return 0, fmt.Errorf("execution %s/%s: %w", wfe.Namespace, wfe.Name, err)
	}
	event, err := auditevents.ExecutionStarted(wfe, auditevents.Started{
		Account: s.Accounts.Username(w.workflow.Spec.ServiceAccountName), Generation: generation(w), Change: wfe.Spec.Change,
	})
	if err != nil {
		return 0, fmt.Errorf("execution %s/%s: %w", wfe.Namespace, wfe.Name, err)
	}
	recording, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := s.Audit.RecordWith(recording, event, audit.Stored); err != nil {
		if wfe.Status.Reason != reasonTrailUnavailable {
			s.Log.Warn("no execution starts: its event cannot be stored; DataStorage must be available",
				zap.String("namespace", wfe.Namespace), zap.String("name", wfe.Name), zap.Error(err))
		}
		return wait(wfe, stop{reasonTrailUnavailable, "waiting for DataStorage, which has to store the event of the start first", retryDelay}),
			s.standDown(ctx, wfe)
	}
	now := metav1.NewMicroTime(s.Clock.Now())
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionExecuting, reasonStarted, "the start is on the trail"
	wfe.Status.StartedAt, wfe.Status.TargetGenerationBefore, wfe.Status.Before = &now, generation(w), needed
	return again, nil
}

// invalidate ends an execution that does not fit what was approved any more.
func (s *Stage) invalidate(ctx context.Context, wfe *v1alpha1.WorkflowExecution, why *stop) error {
	if err := s.unchanged(ctx, wfe); err != nil {
		return err
	}
	event, err := auditevents.Invalidated(wfe, why.reason, why.message)
	if err == nil {
		err = s.Audit.Record(ctx, event)
	}
	if err != nil {
		return fmt.Errorf("execution %s/%s: record its invalidation: %w", wfe.Namespace, wfe.Name, err)
	}
	now := metav1.NewMicroTime(s.Clock.Now())
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionInvalidated, why.reason, limit(why.message)
	wfe.Status.FinishedAt = &now
	return s.leave(ctx, wfe)
}

// standDown gives up the Lease of an execution that waits, unless it has gone on meanwhile:
// then the Lease is its successor's.
func (s *Stage) standDown(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	if err := s.unchanged(ctx, wfe); err != nil {
		return err
	}
	if err := s.Rails.Release(ctx, wfe); err != nil {
		return fmt.Errorf("execution %s/%s: release the Lease: %w", wfe.Namespace, wfe.Name, err)
	}
	return nil
}

// addFinalizer keeps the execution until its Job is deleted. The next look reads it again.
func (s *Stage) addFinalizer(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	changed := wfe.DeepCopy()
	controllerutil.AddFinalizer(changed, v1alpha1.FinalizerJob)
	patch := client.MergeFromWithOptions(wfe.DeepCopy(), client.MergeFromWithOptimisticLock{})
	if err := s.Writer.Patch(ctx, changed, patch); err != nil {
		return fmt.Errorf("execution %s/%s: add finalizer: %w", wfe.Namespace, wfe.Name, err)
	}
	return nil
}

// refused interprets the failure of a write. The API server has no error of its own for a
// patch whose test fails, so the target is read again: if it was written since, that is
// the cause, and the next look begins at the Lease.
func (s *Stage) refused(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, cause error) (*stop, error) {
	fresh := w.target.DeepCopy()
	if err := w.account.Get(ctx, client.ObjectKeyFromObject(w.target), fresh); err != nil {
		return nil, errors.Join(cause, fmt.Errorf("read the target again: %w", err))
	}
	if fresh.GetUID() != w.target.GetUID() || fresh.GetResourceVersion() != w.target.GetResourceVersion() {
		return nil, errChanged(wfe, cause)
	}
	return classify(cause)
}

func generation(w *world) int64 {
	if w == nil || w.target == nil {
		return 0
	}
	return w.target.GetGeneration()
}
