package verify

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// evidence is what a look reads.
type evidence struct {
	request *v1alpha1.RemediationRequest
	// workflow is nil if it is not what was executed.
	workflow *v1alpha1.RemediationWorkflow
	// target is nil until it is read, and empty if it is gone; unread is why it could not be read.
	target *unstructured.Unstructured
	unread error
}

// read reads what a look depends on, side by side: the target only if its condition is certain to
// be looked at. It returns nil if the request is gone: the execution goes with it.
func (s *Stage) read(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (*evidence, error) {
	found := &evidence{}
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() error { return s.readRequest(reading, wfe, found) })
	group.Go(func() error { return s.readWorkflow(reading, wfe, found) })
	if known := wfe.Status.Verification; known != nil && known.ResolvedAt != nil {
		group.Go(func() error {
			s.readTarget(reading, wfe, found)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	if found.request == nil {
		return nil, nil //nolint:nilnil // see above
	}
	return found, nil
}

func (s *Stage) readRequest(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence) error {
	rr := &v1alpha1.RemediationRequest{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: wfe.Namespace, Name: wfe.Spec.Request.Name}, rr)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read the request of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	case err == nil && rr.UID == wfe.Spec.Request.UID:
		found.request = rr
	}
	return nil
}

func (s *Stage) readWorkflow(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence) error {
	workflow := &v1alpha1.RemediationWorkflow{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.options.Namespace, Name: wfe.Spec.Workflow.Name}, workflow)
	if apierrors.IsNotFound(err) {
		return nil // it was deleted
	}
	if err != nil {
		return fmt.Errorf("read the workflow of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	}
	digest, err := s.Catalog.Digest(&workflow.Spec)
	if err != nil {
		return fmt.Errorf("workflow %s: %w", workflow.Name, err)
	}
	if digest == wfe.Spec.Workflow.SHA256 {
		found.workflow = workflow
	}
	return nil
}

func (s *Stage) readTarget(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence) {
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(wfe.Spec.Target.APIVersion)
	target.SetKind(wfe.Spec.Target.Kind)
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: wfe.Spec.Target.Namespace, Name: wfe.Spec.Target.Name}, target)
	if client.IgnoreNotFound(err) != nil {
		found.unread = fmt.Errorf("read the target of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
		return
	}
	found.target = target
}
