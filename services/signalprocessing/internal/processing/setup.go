package processing

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

// Backoff of a step that ended in an error, such as a full audit store or an
// unreachable API server.
const (
	firstErrorBackoff = 20 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings/status,verbs=patch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=pods;nodes;namespaces;services;persistentvolumeclaims;persistentvolumes;replicationcontrollers,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;replicasets;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses,verbs=get
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=list
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update

// Register adds the controller to a manager.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("processing").
		For(&v1alpha1.SignalProcessing{}, builder.WithPredicates(progress())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.options.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up processing controller: %w", err)
	}
	return nil
}

// progress passes changes that require a step: a new phase or a new generation.
// It drops other writers' changes, and a failed attempt, whose next attempt follows
// after the backoff.
func progress() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.SignalProcessing)
			after, isToo := e.ObjectNew.(*v1alpha1.SignalProcessing)
			return ok && isToo && (before.Generation != after.Generation ||
				before.UID != after.UID ||
				before.Status.Phase != after.Status.Phase ||
				before.Status.ObservedGeneration != after.Status.ObservedGeneration)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
