// Package guardrail bounds what is executed: one execution at a time per top owner, pauses,
// cool-downs, maxima, and a person after executions that did not help.
package guardrail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;list;create;update;delete
// +kubebuilder:rbac:groups="",resources=pods;replicationcontrollers,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;replicasets;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get

const (
	// labelExecution of a Lease is the UID of the execution that holds it.
	labelExecution = v1alpha1.AnnotationExecution
	// annotationOwner of a Lease names the top owner for people.
	annotationOwner = "kubernaut.ai/owner"
	// sweepInterval is how often Leases of executions that are gone are removed.
	sweepInterval = time.Hour
)

// Leases let only one execution work below a top owner. A Lease has no expiry: it is free
// once the execution that holds it has ended or is gone, which can be seen without clocks.
type Leases struct {
	// Live reads from the API server.
	Live   client.Reader
	Writer client.Client
	// Namespace of the Leases: the service's own.
	Namespace string
	Clock     clock.PassiveClock
	Log       *zap.Logger
}

// Acquire takes the Lease of the target's top owner for the execution; false if another
// execution holds it.
func (l *Leases) Acquire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error) {
	top, err := l.topOwner(ctx, &wfe.Spec.Target)
	if err != nil {
		return false, err
	}
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: l.Namespace, Name: "owner-" + string(top.uid)}
	if wfe.Status.Phase == v1alpha1.ExecutionApproved { // most Leases are free: whether one is, its creation tells
		lease.Namespace, lease.Name = key.Namespace, key.Name
		created, err := l.create(ctx, lease, wfe, top)
		if created || err != nil {
			return created, err
		}
		lease = &coordinationv1.Lease{}
	}
	err = l.Live.Get(ctx, key, lease)
	if apierrors.IsNotFound(err) {
		lease.Namespace, lease.Name = key.Namespace, key.Name
		return l.create(ctx, lease, wfe, top)
	}
	if err != nil {
		return false, fmt.Errorf("read Lease %s: %w", key, err)
	}
	if held(lease) == holderOf(wfe) {
		return true, nil
	}
	if open, err := l.open(ctx, held(lease)); open || err != nil {
		return false, err
	}
	l.take(lease, wfe, top)
	err = l.Writer.Update(ctx, lease)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil // another execution was faster
	case err != nil:
		return false, fmt.Errorf("take over Lease %s: %w", key, err)
	}
	return true, nil
}

// Release gives up what the execution holds. It finds that by label: meanwhile the target may
// have another owner, or be gone.
func (l *Leases) Release(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	var leases coordinationv1.LeaseList
	if err := l.Live.List(ctx, &leases, client.InNamespace(l.Namespace), client.MatchingLabels{labelExecution: string(wfe.UID)}); err != nil {
		return fmt.Errorf("list the Leases of execution %s/%s: %w", wfe.Namespace, wfe.Name, err)
	}
	for i := range leases.Items {
		if held(&leases.Items[i]) != holderOf(wfe) {
			continue
		}
		if err := l.remove(ctx, &leases.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// Sweep removes the Leases whose executions have ended or are gone, for instance because their
// namespace was deleted.
func (l *Leases) Sweep(ctx context.Context) error {
	var leases coordinationv1.LeaseList
	if err := l.Live.List(ctx, &leases, client.InNamespace(l.Namespace), client.HasLabels{labelExecution}); err != nil {
		return fmt.Errorf("list the Leases of namespace %s: %w", l.Namespace, err)
	}
	var failed []error
	for i := range leases.Items {
		open, err := l.open(ctx, held(&leases.Items[i]))
		if err == nil && !open {
			err = l.remove(ctx, &leases.Items[i])
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Start sweeps until ctx ends. It implements manager.Runnable, which runs on the leader only.
func (l *Leases) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("Leases of executions that are over cannot be removed; they block nothing, and are tried again in an hour", zap.Error(err))
		}
	}, sweepInterval)
	return nil
}

func (l *Leases) create(ctx context.Context, lease *coordinationv1.Lease, wfe *v1alpha1.WorkflowExecution, top link) (bool, error) {
	l.take(lease, wfe, top)
	err := l.Writer.Create(ctx, lease)
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil // another execution was faster
	case err != nil:
		return false, fmt.Errorf("create Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return true, nil
}

// take makes the execution the holder.
func (l *Leases) take(lease *coordinationv1.Lease, wfe *v1alpha1.WorkflowExecution, top link) {
	now, mine := metav1.NewMicroTime(l.Clock.Now()), holderOf(wfe)
	lease.Labels = map[string]string{labelExecution: string(wfe.UID)}
	lease.Annotations = map[string]string{annotationOwner: fmt.Sprintf("%s %s/%s", top.kind, wfe.Spec.Target.Namespace, top.name)}
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime = &mine, &now
}

func (l *Leases) remove(ctx context.Context, lease *coordinationv1.Lease) error {
	err := l.Writer.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("release Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return nil
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

func holderOf(wfe *v1alpha1.WorkflowExecution) string {
	return fmt.Sprintf("%s/%s/%s", wfe.Namespace, wfe.Name, wfe.UID)
}

func held(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}
