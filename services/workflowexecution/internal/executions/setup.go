package executions

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
)

// Backoff of what could not be handled, for instance because the audit store is full or the API
// server is unreachable.
const (
	firstErrorBackoff = 20 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions,verbs=get;list;watch;create;patch;propose
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions/finalizers,verbs=update
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationapprovals,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=pauseswitches,verbs=get;list;watch

// Register adds the controller to a manager. An execution is looked at when it, a decision
// about it, or the pause switch changes, or the signals of its request.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("execution").
		For(&v1alpha1.WorkflowExecution{}).
		Watches(&v1alpha1.RemediationApproval{}, handler.EnqueueRequestsFromMapFunc(ofApproval)).
		Watches(&v1alpha1.RemediationRequest{}, handler.EnqueueRequestsFromMapFunc(ofRequest), builder.WithPredicates(signaled())).
		Watches(&v1alpha1.PauseSwitch{}, handler.EnqueueRequestsFromMapFunc(r.open)).
		WithOptions(ControllerOptions(r.Concurrency)).
		Complete(telemetry.Reconciler(m, "execution", "WorkflowExecution", r))
	if err != nil {
		return fmt.Errorf("set up execution controller: %w", err)
	}
	return nil
}

// ControllerOptions are those of the service's controllers.
func ControllerOptions(concurrency int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
	}
}

func ofApproval(_ context.Context, object client.Object) []reconcile.Request {
	ra, ok := object.(*v1alpha1.RemediationApproval)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: ra.Namespace, Name: ra.Spec.Execution}}}
}

func ofRequest(_ context.Context, object client.Object) []reconcile.Request {
	rr, ok := object.(*v1alpha1.RemediationRequest)
	if !ok || rr.Status.ExecutionRef == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: rr.Namespace, Name: rr.Status.ExecutionRef}}}
}

// signaled passes changes of what the signals of a request say, and of the execution that it refers to:
// an execution does not depend on the phase that its request shows.
func signaled() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.RemediationRequest)
		after, isToo := e.ObjectNew.(*v1alpha1.RemediationRequest)
		if !ok || !isToo {
			return true
		}
		return before.UID != after.UID || before.Status.ExecutionRef != after.Status.ExecutionRef ||
			!equality.Semantic.DeepEqual(before.Status.Signals, after.Status.Signals) ||
			!equality.Semantic.DeepEqual(before.Status.Deduplication, after.Status.Deduplication)
	}}
}

// open are all executions that have not ended.
func (r *Reconciler) open(ctx context.Context, _ client.Object) []reconcile.Request {
	var all v1alpha1.WorkflowExecutionList
	if err := r.Cached.List(ctx, &all); err != nil {
		return nil
	}
	var found []reconcile.Request
	for i := range all.Items {
		if !all.Items[i].Status.Phase.Terminal() {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return found
}
