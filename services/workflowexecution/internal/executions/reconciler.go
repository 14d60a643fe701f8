package executions

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

// FieldManager is the name under which this service writes.
const FieldManager = "workflowexecution"

const (
	// writeTimeout bounds the write of a status.
	writeTimeout = 15 * time.Second
	// conflictDelay is the delay before a retry after a conflict.
	conflictDelay = 10 * time.Millisecond
	// atOnce is the longest wait after which a step follows without a look at the queue.
	atOnce = time.Millisecond
	// maxSteps bounds the steps of one look, so that every execution gets its turn.
	maxSteps = 8
)

// Stage takes an execution one step further in the phases that it is registered for.
type Stage interface {
	// Advance looks at the world once. It may change wfe.Status and nothing else of wfe; the
	// caller writes the status, on condition that nobody has written the execution since it was
	// read. Events are recorded before Advance returns, so before the status shows what they
	// say. Their ids are derived, so a repetition records the same event. The duration is when
	// to look again at the latest; 0: when something changes.
	Advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error)
}

// Cleaner removes what an execution leaves in the cluster, for instance its Job.
type Cleaner interface {
	// Clean returns nil once nothing is left.
	Clean(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error
}

// Parts are the dependencies of a Reconciler.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	// Stages by the phase that they continue. A phase without one waits.
	Stages map[v1alpha1.ExecutionPhase]Stage
	// Cleaner is asked before the finalizer of a Job is removed; nil if nothing is left.
	Cleaner Cleaner
	// Metrics count what is written.
	Metrics *metrics.Metrics
	Log     *zap.Logger
	// Concurrency is the number of executions that are handled concurrently, at least 1.
	Concurrency int
}

// Reconciler advances executions. It is stateless.
type Reconciler struct {
	Parts
}

// New makes a Reconciler.
func New(parts Parts) (*Reconciler, error) {
	if parts.Concurrency < 1 {
		return nil, fmt.Errorf("concurrency %d: must be at least 1", parts.Concurrency)
	}
	return &Reconciler{Parts: parts}, nil
}

// Reconcile takes an execution as far as it goes without waiting. It reports no error after ctx has ended: the
// service is stopping.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcile(ctx, req.NamespacedName)
	switch {
	case ctx.Err() != nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return reconcile.Result{}, nil //nolint:nilerr // stopping, or the execution is going
	case apierrors.IsNotFound(err) && Gone(ctx, r.Live, &v1alpha1.WorkflowExecution{}, req.NamespacedName):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, key client.ObjectKey) (reconcile.Result, error) {
	cached := &v1alpha1.WorkflowExecution{}
	if err := r.Cached.Get(ctx, key, cached); err != nil {
		return reconcile.Result{}, fmt.Errorf("read cached WorkflowExecution %s: %w", key, err)
	}
	telemetry.Link(ctx, cached)
	if cached.DeletionTimestamp == nil && r.Stages[PhaseOf(cached)] == nil {
		return reconcile.Result{}, nil
	}
	wfe := &v1alpha1.WorkflowExecution{}
	if err := r.Live.Get(ctx, key, wfe); err != nil {
		return reconcile.Result{}, fmt.Errorf("read WorkflowExecution %s: %w", key, err)
	}
	for range maxSteps {
		next, result, err := r.step(ctx, wfe)
		if next == nil || err != nil || ctx.Err() != nil {
			return result, err
		}
		wfe = next
	}
	return reconcile.Result{RequeueAfter: time.Millisecond}, nil
}

// step takes an execution one step further. next is the execution as the API server answered the
// write of its status, if there is something to do at once: nobody has to wait for the watch, nor to
// read again what was just written.
func (r *Reconciler) step(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (next *v1alpha1.WorkflowExecution, result reconcile.Result, err error) {
	if wfe.DeletionTimestamp != nil {
		return nil, reconcile.Result{}, r.clean(ctx, wfe)
	}
	stage := r.Stages[PhaseOf(wfe)]
	if stage == nil {
		return nil, reconcile.Result{}, nil
	}
	after := wfe.DeepCopy()
	wait, err := stage.Advance(ctx, after)
	if err != nil {
		return nil, reconcile.Result{}, fmt.Errorf("advance WorkflowExecution %s in phase %s: %w", client.ObjectKeyFromObject(wfe), PhaseOf(wfe), err)
	}
	result.RequeueAfter = wait
	if equality.Semantic.DeepEqual(wfe.Status, after.Status) {
		return nil, result, nil
	}
	written, err := r.write(ctx, wfe, after)
	if err != nil {
		return nil, reconcile.Result{}, err
	}
	moved := PhaseOf(written) != PhaseOf(wfe) || wait > 0 && wait <= atOnce
	if !moved || r.Stages[PhaseOf(written)] == nil {
		return nil, result, nil
	}
	return written, result, nil
}

// write writes the status that a stage leaves. What the stage did is known: it is shown even
// if the service is asked to stop.
func (r *Reconciler) write(ctx context.Context, before, after *v1alpha1.WorkflowExecution) (*v1alpha1.WorkflowExecution, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	changed := before.DeepCopy()
	changed.Status = after.Status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Status().Patch(ctx, changed, patch, client.FieldOwner(FieldManager)); err != nil {
		return nil, fmt.Errorf("write status of WorkflowExecution %s: %w", client.ObjectKeyFromObject(before), err)
	}
	r.Metrics.Changed(before, changed)
	if from, to := PhaseOf(before), PhaseOf(changed); from != to {
		r.Log.Info("phase of execution changed", zap.String("namespace", before.Namespace), zap.String("name", before.Name),
			zap.String("from", string(from)), zap.String("to", string(to)), zap.String("reason", changed.Status.Reason))
	}
	return changed, nil
}

// clean lets an execution go that is being deleted, once nothing is left of it.
func (r *Reconciler) clean(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	if !controllerutil.ContainsFinalizer(wfe, v1alpha1.FinalizerJob) {
		return nil
	}
	if r.Cleaner != nil {
		if err := r.Cleaner.Clean(ctx, wfe); err != nil {
			return fmt.Errorf("clean up after WorkflowExecution %s: %w", client.ObjectKeyFromObject(wfe), err)
		}
	}
	free := wfe.DeepCopy()
	controllerutil.RemoveFinalizer(free, v1alpha1.FinalizerJob)
	patch := client.MergeFromWithOptions(wfe, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Patch(ctx, free, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("remove the finalizer of WorkflowExecution %s: %w", client.ObjectKeyFromObject(wfe), err)
	}
	return nil
}

// Gone reports whether a resource does not exist. A controller that meets NotFound asks it
// before it gives up: what was not found may be something else that the step needs.
func Gone(ctx context.Context, live client.Reader, object client.Object, key client.ObjectKey) bool {
	return apierrors.IsNotFound(live.Get(ctx, key, object))
}

// PhaseOf is the phase of an execution; one without a phase is proposed.
func PhaseOf(wfe *v1alpha1.WorkflowExecution) v1alpha1.ExecutionPhase {
	if wfe.Status.Phase == "" {
		return v1alpha1.ExecutionProposed
	}
	return wfe.Status.Phase
}
