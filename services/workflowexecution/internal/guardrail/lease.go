// Package guardrail bounds what is executed: one execution at a time per target, pauses, cool-downs,
// maxima, and a person after executions that did not help.
package guardrail

import (
	"context"
	"fmt"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update;delete

// Leases let one execution at a time work on a target. A Lease has no expiry: it is free
// once the execution that holds it has ended or is gone, which can be seen without clocks.
type Leases struct {
	// Live reads from the API server.
	Live   client.Reader
	Writer client.Client
	// Namespace of the Leases: the service's own.
	Namespace string
	Clock     clock.PassiveClock
}

// Acquire takes the Lease of the target for the execution; false if another holds it.
func (l *Leases) Acquire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error) {
	lease, err := l.read(ctx, wfe)
	if apierrors.IsNotFound(err) {
		return l.create(ctx, wfe)
	}
	if err != nil {
		return false, err
	}
	mine := holderOf(wfe)
	if held(lease) == mine {
		return true, nil
	}
	if open, err := l.open(ctx, held(lease)); open || err != nil {
		return false, err
	}
	now := metav1.NewMicroTime(l.Clock.Now())
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime = &mine, &now
	err = l.Writer.Update(ctx, lease)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil // another execution was faster
	case err != nil:
		return false, fmt.Errorf("take over Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return true, nil
}

// Held reports whether the execution holds the Lease of its target.
func (l *Leases) Held(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error) {
	lease, err := l.read(ctx, wfe)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && held(lease) == holderOf(wfe), err
}

// Release gives up the Lease, if the execution holds it.
func (l *Leases) Release(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	lease, err := l.read(ctx, wfe)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || held(lease) != holderOf(wfe) {
		return err
	}
	err = l.Writer.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("release Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return nil
}

func (l *Leases) create(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error) {
	now, mine := metav1.NewMicroTime(l.Clock.Now()), holderOf(wfe)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: leaseName(wfe)},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &mine, AcquireTime: &now},
	}
	err := l.Writer.Create(ctx, lease)
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil // another execution was faster
	case err != nil:
		return false, fmt.Errorf("create Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return true, nil
}

func (l *Leases) read(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (*coordinationv1.Lease, error) {
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: l.Namespace, Name: leaseName(wfe)}
	if err := l.Live.Get(ctx, key, lease); err != nil {
		return nil, fmt.Errorf("read Lease %s: %w", key, err)
	}
	return lease, nil
}

// open reports whether the holder of a Lease may still work on the target.
func (l *Leases) open(ctx context.Context, holder string) (bool, error) {
	parts := strings.Split(holder, "/")
	if len(parts) != 3 {
		return false, nil
	}
	other := &v1alpha1.WorkflowExecution{}
	err := l.Live.Get(ctx, client.ObjectKey{Namespace: parts[0], Name: parts[1]}, other)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read execution %s, which holds a Lease: %w", holder, err)
	case other.UID != types.UID(parts[2]):
		return false, nil
	}
	return other.Status.Phase == v1alpha1.ExecutionApproved || other.Status.Phase == v1alpha1.ExecutionExecuting, nil
}

func leaseName(wfe *v1alpha1.WorkflowExecution) string {
	return "target-" + string(wfe.Spec.Target.UID)
}

func holderOf(wfe *v1alpha1.WorkflowExecution) string {
	return fmt.Sprintf("%s/%s/%s", wfe.Namespace, wfe.Name, wfe.UID)
}

func held(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}
