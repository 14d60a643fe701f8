package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
)

const (
	// Every is how often workflows are validated again in operation.
	Every = time.Minute
	// maxMessage is the longest message of a condition, in bytes.
	maxMessage = 8192
	// fieldManager is the name under which statuses are written.
	fieldManager = "workflowexecution"
)

// The reasons of condition Valid.
const (
	ReasonValid   = "Valid"
	ReasonInvalid = "Invalid"
)

// +kubebuilder:rbac:groups=kubernaut.ai,namespace=kubernaut-workflows,resources=remediationworkflows,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,namespace=kubernaut-workflows,resources=remediationworkflows/status,verbs=patch

// Reconciler writes whether workflows can be used. All fields are required.
type Reconciler struct {
	Validator

	// Status writes statuses.
	Status client.StatusClient
	// Cached reads from the informers.
	Cached client.Reader
	// Namespace holds the workflows; those elsewhere are nobody's.
	Namespace string
	// Every is how often a workflow is validated again: accounts and roles change without it.
	Every time.Duration
	// Known is told the name of each workflow.
	Known func(workflow string)
}

// Register adds the controller to a manager. A workflow is looked at when it changes, or the
// workflow that it names as its rollback comes or goes.
func (r *Reconciler) Register(m manager.Manager) error {
	here := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	err := builder.ControllerManagedBy(m).
		Named("workflow").
		For(&v1alpha1.RemediationWorkflow{}, builder.WithPredicates(predicate.GenerationChangedPredicate{}, here)).
		Watches(&v1alpha1.RemediationWorkflow{}, handler.EnqueueRequestsFromMapFunc(r.rolledBackBy), builder.WithPredicates(existence, here)).
		Complete(telemetry.Reconciler(m, "workflow", "RemediationWorkflow", r))
	if err != nil {
		return fmt.Errorf("set up workflow controller: %w", err)
	}
	return nil
}

// existence lets creations and deletions through.
var existence = predicate.Funcs{
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// Reconcile validates a workflow.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	wf := &v1alpha1.RemediationWorkflow{}
	if err := r.Live.Get(ctx, request.NamespacedName, wf); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read workflow %s: %w", request.NamespacedName, err)
	}
	r.Known(wf.Name)
	wrong, err := r.Validate(ctx, wf)
	if err != nil {
		return reconcile.Result{}, err
	}
	digest, err := Digest(&wf.Spec)
	if err != nil {
		return reconcile.Result{}, err
	}
	changed := wf.DeepCopy()
	changed.Status.ObservedGeneration, changed.Status.SHA256 = wf.Generation, digest
	meta.SetStatusCondition(&changed.Status.Conditions, condition(wf.Generation, wrong))
	if !equality.Semantic.DeepEqual(wf.Status, changed.Status) {
		patch := client.MergeFromWithOptions(wf, client.MergeFromWithOptimisticLock{})
		if err := r.Status.Status().Patch(ctx, changed, patch, client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, fmt.Errorf("write the status of workflow %s: %w", request.NamespacedName, err)
		}
	}
	return reconcile.Result{RequeueAfter: r.Every}, nil
}

// rolledBackBy are the workflows that name the object as their rollback.
func (r *Reconciler) rolledBackBy(ctx context.Context, rollback client.Object) []reconcile.Request {
	var all v1alpha1.RemediationWorkflowList
	if err := r.Cached.List(ctx, &all, client.InNamespace(r.Namespace)); err != nil {
		return nil // they are validated again anyway
	}
	var found []reconcile.Request
	for i := range all.Items {
		if all.Items[i].Spec.Rollback == rollback.GetName() {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return found
}

func condition(generation int64, wrong []string) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionValid, Status: metav1.ConditionTrue, ObservedGeneration: generation,
		Reason: ReasonValid, Message: "The workflow can be selected.",
	}
	if len(wrong) > 0 {
		message := strings.ToValidUTF8(strings.Join(wrong, "; "), "")
		if len(message) > maxMessage {
			message = strings.ToValidUTF8(message[:maxMessage], "")
		}
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, ReasonInvalid, message
	}
	return c
}
