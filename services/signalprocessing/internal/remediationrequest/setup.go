package remediationrequest

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
)

// Backoff of a request that could not be handled, for instance because the audit store is
// full or the API server is unreachable.
const (
	firstErrorBackoff = 20 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/finalizers,verbs=update
// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings,verbs=get;list;watch;create;patch

// Register adds the controller to a manager. A request and its SignalProcessing, which
// have one name, are one key of its queue: two workers never handle them concurrently.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("request").
		For(&v1alpha1.RemediationRequest{}, builder.WithPredicates(newSeverities())).
		Watches(&v1alpha1.SignalProcessing{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(changedByOthers())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
		}).
		Complete(telemetry.Reconciler(m, "request", "RemediationRequest", r))
	if err != nil {
		return fmt.Errorf("set up request controller: %w", err)
	}
	return nil
}

// newSeverities passes new requests, and those whose source has said another severity.
// Their spec is immutable, and other changes of status are our own or count signals.
func newSeverities() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.RemediationRequest)
			after, isToo := e.ObjectNew.(*v1alpha1.RemediationRequest)
			return ok && isToo && (before.UID != after.UID || !slices.Equal(before.SaidSeverities(), after.SaidSeverities()))
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// changedByOthers passes what happens to a SignalProcessing from outside: a new
// generation, its deletion, and the creation of one without a request. Its steps follow
// each other in one Reconcile, and at the start of the service its request leads to it.
func changedByOthers() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return metav1.GetControllerOf(e.Object) == nil },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration()
		},
	}
}
