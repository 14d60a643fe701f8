package retention

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
	// workers is the number of requests that are ended or released concurrently.
	workers = 4
	// firstErrorBackoff and maxErrorBackoff are the delays after errors.
	firstErrorBackoff = 100 * time.Millisecond
	maxErrorBackoff   = 30 * time.Second
)

// The permission for leases is needed in the Gateway's namespace.
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;update

// SetUp adds the controllers to a manager. A queue holds each request at most once: open
// ones until they may be stale, finished ones until they are deleted.
func (r *Reconciler) SetUp(m manager.Manager) error {
	for _, c := range []struct {
		name      string
		workers   int
		reconcile reconcile.Func
	}{{"retention", workers, r.Reconcile}, {"expiry", 1, r.Expire}} {
		err := builder.ControllerManagedBy(m).
			Named(c.name).
			For(&v1alpha1.RemediationRequest{}, builder.WithPredicates(due())).
			WithOptions(controller.Options{
				MaxConcurrentReconciles: c.workers,
				RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstErrorBackoff, maxErrorBackoff),
			}).
			Complete(telemetry.Reconciler(m, c.name, "RemediationRequest", c.reconcile))
		if err != nil {
			return fmt.Errorf("set up %s controller: %w", c.name, err)
		}
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
			return ok && isToo && (before.UID != after.UID ||
				before.Status.Phase != after.Status.Phase ||
				before.Fires() != after.Fires() ||
				(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
				after.DeletionTimestamp != nil && len(before.Finalizers) != len(after.Finalizers))
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
