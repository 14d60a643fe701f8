package pauses

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/workflowexecution/internal/executions"
)

// fieldManager is the name under which this service writes.
const fieldManager = "workflowexecution"

var namespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// +kubebuilder:rbac:groups=kubernaut.ai,resources=pauseswitches,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=kubernaut-system,resources=configmaps,resourceNames=workflowexecution-pauses,verbs=get;update

// Register adds the controllers to a manager.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("pause-switch").
		For(&v1alpha1.PauseSwitch{}).
		WithOptions(executions.ControllerOptions(1)).
		Complete(telemetry.Reconciler(m, "pause-switch", "PauseSwitch", reconcile.Func(r.Switch)))
	if err != nil {
		return fmt.Errorf("set up the controller of the pause switch: %w", err)
	}
	labeled := &metav1.PartialObjectMetadata{}
	labeled.SetGroupVersionKind(namespaceKind)
	err = builder.ControllerManagedBy(m).
		Named("paused-namespaces").
		For(labeled, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(executions.ControllerOptions(1)).
		Complete(telemetry.Reconciler(m, "paused-namespaces", namespaceKind.Kind, reconcile.Func(r.Label)))
	if err != nil {
		return fmt.Errorf("set up the controller of paused namespaces: %w", err)
	}
	return nil
}
