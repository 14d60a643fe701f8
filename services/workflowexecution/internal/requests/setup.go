package requests

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/workflowexecution/internal/executions"
)

// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/finalizers,verbs=update
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationcommands,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationcommands/status,verbs=patch

// Register adds the controller to a manager. A request is looked at when it changes, its
// execution, or a command about it.
func (r *Reconciler) Register(m manager.Manager) error {
	err := builder.ControllerManagedBy(m).
		Named("remediation").
		For(&v1alpha1.RemediationRequest{}).
		Watches(&v1alpha1.WorkflowExecution{}, handler.EnqueueRequestsFromMapFunc(ofExecution)).
		Watches(&v1alpha1.RemediationCommand{}, handler.EnqueueRequestsFromMapFunc(ofCommand)).
		WithOptions(executions.ControllerOptions(r.Concurrency)).
		Complete(telemetry.Reconciler(m, "remediation", "RemediationRequest", r))
	if err != nil {
		return fmt.Errorf("set up remediation controller: %w", err)
	}
	return nil
}

func ofExecution(_ context.Context, object client.Object) []reconcile.Request {
	wfe, ok := object.(*v1alpha1.WorkflowExecution)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: wfe.Namespace, Name: wfe.Spec.Request.Name}}}
}

func ofCommand(_ context.Context, object client.Object) []reconcile.Request {
	c, ok := object.(*v1alpha1.RemediationCommand)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.Request.Name}}}
}
