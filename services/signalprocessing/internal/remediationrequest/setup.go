package remediationrequest

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
)

// Backoff of a request that could not be handled.
const (
	firstErrorBackoff = 20 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/finalizers,verbs=update
// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings,verbs=get;list;watch;create

// Register adds the controller to a manager.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("request").
		For(&v1alpha1.RemediationRequest{}, builder.WithPredicates(created())).
		Owns(&v1alpha1.SignalProcessing{}, builder.WithPredicates(statusChanged())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up request controller: %w", err)
	}
	return nil
}

// created passes new requests only: their spec is immutable, and status changes
// are our own or count occurrences.
func created() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// statusChanged passes changes of a SignalProcessing that the request mirrors.
func statusChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.SignalProcessing)
			after, isToo := e.ObjectNew.(*v1alpha1.SignalProcessing)
			return ok && isToo && (before.UID != after.UID ||
				before.Status.Phase != after.Status.Phase ||
				before.Status.Message != after.Status.Message)
		},
	}
}
