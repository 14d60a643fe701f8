package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

// gate tells whether the execution may touch anything: the pause first, then the decision, which it
// reads live.
func (s *Stage) gate(ctx context.Context, wfe *v1alpha1.WorkflowExecution, paused *stop) (*stop, error) {
	if paused != nil {
		return paused, nil
	}
	return s.counts(ctx, wfe)
}

// paused reads live whether executions are paused.
func (s *Stage) paused(ctx context.Context, wfe *v1alpha1.WorkflowExecution) *stop {
	if paused, why := s.Pause.State(ctx, wfe.Spec.Target.Namespace); paused {
		return &stop{reason: reasonPaused, message: "executions are paused: " + why, retry: retryDelay}
	}
	return nil
}

// counts reads live whether the decision still counts.
func (s *Stage) counts(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (*stop, error) {
	why, err := s.Decisions.Counts(ctx, wfe)
	if err != nil {
		return nil, fmt.Errorf("execution %s/%s: check its decision: %w", wfe.Namespace, wfe.Name, err)
	}
	if why != "" {
		return &stop{reason: reasonDecision, message: "the decision does not count any more: " + why}, nil
	}
	return nil, nil //nolint:nilnil // nothing stops it
}

// look reads the workflow and the target live.
func (s *Stage) look(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (*world, *stop, error) {
	w := &world{workflow: &v1alpha1.RemediationWorkflow{}}
	name := wfe.Spec.Workflow.Name
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, w.workflow)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &stop{reason: reasonWorkflowChanged, message: fmt.Sprintf("workflow %s is gone", name)}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read workflow %s/%s: %w", s.Namespace, name, err)
	}
	digest, err := s.Planner.WorkflowDigest(&w.workflow.Spec)
	if err != nil {
		return nil, nil, fmt.Errorf("digest of workflow %s: %w", name, err)
	}
	if digest != wfe.Spec.Workflow.SHA256 {
		return nil, &stop{reason: reasonWorkflowChanged, message: fmt.Sprintf("workflow %s is not what was approved", name)}, nil
	}
	if w.workflow.Spec.Action != nil {
		if w.account, err = s.Accounts.Client(ctx, w.workflow.Spec.ServiceAccountName, wfe.UID); err != nil {
			why, err := classify(err)
			return w, why, err
		}
	}
	why, err := s.target(ctx, wfe, w)
	return w, why, err
}

// target reads the target with the rights of the workflow's account; that of a Job, which
// may not be allowed to read it, with the service's.
func (s *Stage) target(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world) (*stop, error) {
	var reader client.Reader = w.account
	if w.workflow.Spec.Job != nil {
		reader = s.Live
	}
	t := &wfe.Spec.Target
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(t.APIVersion)
	target.SetKind(t.Kind)
	name := fmt.Sprintf("%s %s/%s", t.Kind, t.Namespace, t.Name)
	err := reader.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Name}, target)
	switch {
	case apierrors.IsNotFound(err):
		return &stop{reason: reasonTargetGone, message: name + " is gone"}, nil
	case err != nil:
		return classify(fmt.Errorf("read %s: %w", name, err))
	case target.GetUID() != t.UID:
		return &stop{reason: reasonTargetGone, message: fmt.Sprintf("%s was recreated: its UID is %s, the proposal is about %s", name, target.GetUID(), t.UID)}, nil
	}
	w.target = target
	return nil, nil //nolint:nilnil // nothing stops it
}

// prepare prepares the write, if the target is still what was approved. at is the time that
// a restart carries.
func (s *Stage) prepare(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, at time.Time) (*stop, error) {
	var digest string
	var err error
	if w.workflow.Spec.Job != nil {
		digest, err = s.Planner.Digest(ctx, w.workflow, w.target, wfe.Spec.Parameters, wfe.UID)
	} else if w.step, err = s.Planner.Prepare(ctx, w.account, w.workflow, w.target, wfe.Spec.Parameters, at); err == nil {
		digest = w.step.Digest
	}
	if err != nil {
		return classify(err)
	}
	if digest != wfe.Spec.PlanDigest {
		return &stop{reason: reasonTargetChanged, message: fmt.Sprintf("%s %s/%s is not what it was when the plan was approved",
			wfe.Spec.Target.Kind, wfe.Spec.Target.Namespace, wfe.Spec.Target.Name)}, nil
	}
	return nil, nil //nolint:nilnil // nothing stops it
}

// classify separates answers that are final from failures that may pass.
func classify(err error) (*stop, error) {
	var unfit *plan.NotApplicableError
	switch {
	case errors.As(err, &unfit):
		return &stop{reason: reasonNotApplicable, message: unfit.Message}, nil
	case apierrors.IsForbidden(err):
		return &stop{reason: reasonMissingRight, message: "a right is missing: " + err.Error()}, nil
	case apierrors.IsNotFound(err):
		return &stop{reason: reasonMissingRight, message: "the workflow's service account cannot be used: " + err.Error()}, nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return &stop{reason: reasonRefused, message: "the API server refuses the change: " + err.Error()}, nil
	}
	return nil, err
}
