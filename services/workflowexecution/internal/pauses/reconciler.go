package pauses

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// Parts are the dependencies of a Reconciler. All are required, except Namespaces.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Audit        auditevents.Recorder
	Log          *zap.Logger
	// Namespace is the platform's, which has the ConfigMap of what was recorded.
	Namespace string
	// Namespaces are those to watch; empty means all.
	Namespaces []string
}

// Reconciler records pauses. Its controllers have one worker each.
type Reconciler struct {
	Parts

	known *register
}

// New makes a Reconciler.
func New(parts Parts) *Reconciler { return &Reconciler{Parts: parts} }

// Switch records what the PauseSwitch says.
func (r *Reconciler) Switch(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	found := &v1alpha1.PauseSwitch{}
	if err := r.Live.Get(ctx, req.NamespacedName, found); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err) //nolint:wrapcheck // logged with the object's name
	}
	e, err := auditevents.SwitchChanged(found)
	if err := auditevents.Record(ctx, r.Audit, e, err); err != nil {
		return reconcile.Result{}, err
	}
	r.log(found.Spec.Paused, zap.String("by", found.Spec.ChangedBy.Name), zap.String("reason", found.Spec.Reason))
	return reconcile.Result{}, nil
}

// Label records that the label of a namespace pauses executions, and that it does no longer.
func (r *Reconciler) Label(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, req.Name) {
		return reconcile.Result{}, nil
	}
	if err := r.load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	ns := namespace(req.Name)
	err := r.Cached.Get(ctx, req.NamespacedName, ns)
	switch uid, was := r.known.paused[req.Name]; {
	case apierrors.IsNotFound(err) || err == nil && was && uid != string(ns.UID):
		// Another namespace of the name was never paused.
		if err := r.remember(ctx, req.Name, ""); err != nil || ns.UID == "" {
			return reconcile.Result{}, err
		}
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("read cached namespace %s: %w", req.Name, err)
	}
	_, was := r.known.paused[req.Name]
	if is := paused(ns); is == was {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.changed(ctx, req.Name, was)
}

// changed records that a namespace is paused if it was not, or that it is not any more, and
// then remembers it.
func (r *Reconciler) changed(ctx context.Context, name string, was bool) error {
	ns := namespace(name)
	if err := r.Live.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
		return client.IgnoreNotFound(err) //nolint:wrapcheck // logged with the namespace's name
	}
	is := paused(ns)
	if is == was {
		return nil
	}
	e, err := auditevents.NamespaceChanged(ns, is, writer(ns))
	if err := auditevents.Record(ctx, r.Audit, e, err); err != nil {
		return err
	}
	r.log(is, zap.String("namespace", name))
	if is {
		return r.remember(ctx, name, string(ns.UID))
	}
	return r.remember(ctx, name, "")
}

func (r *Reconciler) log(paused bool, fields ...zap.Field) {
	if paused {
		r.Log.Info("executions are paused; kubernaut resume ends it", fields...)
		return
	}
	r.Log.Info("executions are not paused", fields...)
}

func namespace(name string) *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}
	ns.SetGroupVersionKind(namespaceKind)
	return ns
}

func paused(ns *metav1.PartialObjectMetadata) bool {
	return ns.Labels[v1alpha1.LabelRemediation] == v1alpha1.RemediationPaused
}
