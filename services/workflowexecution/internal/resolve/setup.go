package resolve

import (
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
)

const (
	// workers is the number of requests that are ended concurrently.
	workers = 4
	// firstErrorBackoff and maxErrorBackoff are the delays after errors.
	firstErrorBackoff = 100 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions/status,verbs=patch

// SetUp adds the controller to a manager.
func (r *Reconciler) SetUp(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("resolution").
		For(&v1alpha1.RemediationRequest{}, builder.WithPredicates(due())).
		Owns(&v1alpha1.WorkflowExecution{}, builder.WithPredicates(moved())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
		}).
		Complete(telemetry.Reconciler(m, "resolution", "RemediationRequest", r))
	if err != nil {
		return fmt.Errorf("set up the controller that ends requests: %w", err)
	}
	return nil
}

// due passes new requests, and changes after which a request may be due earlier than
// its place in the queue says.
func due() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.RemediationRequest)
			after, isToo := e.ObjectNew.(*v1alpha1.RemediationRequest)
			return ok && isToo && (before.UID != after.UID || before.Status.Phase != after.Status.Phase || before.Fires() != after.Fires())
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// moved passes new executions and changes of their phase.
func moved() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.WorkflowExecution)
			after, isToo := e.ObjectNew.(*v1alpha1.WorkflowExecution)
			return ok && isToo && before.Status.Phase != after.Status.Phase
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
