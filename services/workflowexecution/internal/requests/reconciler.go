package requests

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/executions"
)

const (
	// fieldManager is the name under which this service writes.
	fieldManager = "workflowexecution"
	// writeTimeout bounds the write of a status.
	writeTimeout = 15 * time.Second
	// conflictDelay is the delay before a retry after a conflict.
	conflictDelay = 10 * time.Millisecond
)

// Selected is the result of a selection.
type Selected struct {
	// Execution is the proposal, nil if there is none. Then Reason and Message say why.
	Execution       *v1alpha1.WorkflowExecution
	Reason, Message string
}

// Selector selects a workflow for a classified request and makes the proposal.
type Selector interface {
	// Select records its events and creates the proposal before it returns. Repeated, it finds
	// the proposal that it has made.
	Select(ctx context.Context, rr *v1alpha1.RemediationRequest) (Selected, error)
}

// Ends ends requests because their signal does.
type Ends interface {
	// Resolve ends a request if that is due; otherwise it says after how long it may be.
	Resolve(ctx context.Context, key client.ObjectKey) (after time.Duration, err error)
}

// Parts are the dependencies of a Reconciler.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Selector     Selector
	// Ends comes first: whoever ends a request and whoever takes it further would otherwise each
	// record what the other one makes untrue.
	Ends  Ends
	Audit auditevents.Recorder
	Clock clock.PassiveClock
	Log   *zap.Logger
	// Concurrency is the number of requests that are handled concurrently, at least 1.
	Concurrency int
}

// Reconciler advances requests. It is stateless.
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

// Reconcile ends a request if that is due, or else takes it one step further. It reports no error after ctx has ended: the
// service is stopping.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	after, err := r.Ends.Resolve(ctx, req.NamespacedName)
	if err == nil {
		err = r.reconcile(ctx, req.NamespacedName)
	}
	switch {
	case ctx.Err() != nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return reconcile.Result{}, nil //nolint:nilerr // stopping, or the request is going
	case apierrors.IsNotFound(err) && executions.Gone(ctx, r.Live, &v1alpha1.RemediationRequest{}, req.NamespacedName):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	return reconcile.Result{RequeueAfter: after}, err
}

func (r *Reconciler) reconcile(ctx context.Context, key client.ObjectKey) error {
	cached := &v1alpha1.RemediationRequest{}
	if err := r.Cached.Get(ctx, key, cached); err != nil {
		return fmt.Errorf("read cached RemediationRequest %s: %w", key, err)
	}
	telemetry.Link(ctx, cached)
	if !ours(cached.Status.Phase) && !cached.Status.Phase.Terminal() {
		return nil
	}
	if settled, err := r.settled(ctx, cached); settled || err != nil {
		return err
	}
	rr := &v1alpha1.RemediationRequest{}
	if err := r.Live.Get(ctx, key, rr); err != nil {
		return fmt.Errorf("read RemediationRequest %s: %w", key, err)
	}
	if rr.DeletionTimestamp != nil {
		return nil
	}
	after := rr.DeepCopy()
	if err := r.advance(ctx, after); err != nil {
		return fmt.Errorf("advance RemediationRequest %s in phase %s: %w", key, rr.Status.Phase, err)
	}
	if !equality.Semantic.DeepEqual(rr.Status, after.Status) {
		if err := r.write(ctx, rr, after); err != nil {
			return err
		}
	}
	return r.answerCommands(ctx, after)
}

// settled reports whether a request shows its execution already, or has ended, and nobody wants
// anything of it, by what the informers know: what
// they do not know yet comes as a change. It saves the live reads after each write of our own.
func (r *Reconciler) settled(ctx context.Context, rr *v1alpha1.RemediationRequest) (bool, error) {
	if rr.DeletionTimestamp != nil {
		return true, nil
	}
	waiting, err := r.waiting(ctx, rr)
	if err != nil || len(waiting) > 0 || !working(rr.Status.Phase) {
		return err == nil && len(waiting) == 0 && rr.Status.Phase.Terminal(), err
	}
	wfe := &v1alpha1.WorkflowExecution{}
	key := client.ObjectKey{Namespace: rr.Namespace, Name: rr.Status.ExecutionRef}
	if err := r.Cached.Get(ctx, key, wfe); err != nil {
		return false, client.IgnoreNotFound(err) //nolint:wrapcheck // of the cache
	}
	if wfe.Spec.Request.UID != rr.UID || !shownByPhase(wfe) {
		return false, nil
	}
	shows := rr.DeepCopy()
	err = r.show(ctx, shows, wfe)
	return err == nil && equality.Semantic.DeepEqual(rr.Status, shows.Status), err
}

// working reports whether a request in the phase follows its execution.
func working(phase v1alpha1.RemediationPhase) bool {
	switch phase {
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying:
		return true
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationClassified, v1alpha1.RemediationManualReview,
		v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}

// shownByPhase reports whether showing the execution records nothing.
func shownByPhase(wfe *v1alpha1.WorkflowExecution) bool {
	switch wfe.Status.Phase {
	case "", v1alpha1.ExecutionProposed:
		return wfe.Spec.Approval != v1alpha1.ApprovalNone
	case v1alpha1.ExecutionApproved, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying:
		return true
	case v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed, v1alpha1.ExecutionRejected, v1alpha1.ExecutionExpired, v1alpha1.ExecutionInvalidated:
	}
	return false
}

// advance changes the status of a request by at most one step.
func (r *Reconciler) advance(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	switch rr.Status.Phase {
	case v1alpha1.RemediationClassified:
		return r.selectWorkflow(ctx, rr)
	case v1alpha1.RemediationManualReview:
		if moved, err := r.command(ctx, rr); moved || err != nil {
			return err
		}
		if r.escalate(rr) || unproposed(rr) {
			return nil
		}
		return r.mirror(ctx, rr)
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying:
		return r.mirror(ctx, rr)
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return nil
}

// ours reports whether a request in the phase is this service's to continue.
func ours(phase v1alpha1.RemediationPhase) bool {
	switch phase {
	case v1alpha1.RemediationClassified, v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved,
		v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying, v1alpha1.RemediationManualReview:
		return true
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return false
}

// write writes what a step leaves. The step is recorded: it is shown even if the service is
// asked to stop.
func (r *Reconciler) write(ctx context.Context, before, after *v1alpha1.RemediationRequest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	changed := before.DeepCopy()
	changed.Status = after.Status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Status().Patch(ctx, changed, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("write status of RemediationRequest %s: %w", client.ObjectKeyFromObject(before), err)
	}
	if from, to := before.Status.Phase, changed.Status.Phase; from != to {
		r.Log.Info("phase changed", zap.String("namespace", before.Namespace), zap.String("name", before.Name),
			zap.String("from", string(from)), zap.String("to", string(to)), zap.String("message", changed.Status.Message))
	}
	return nil
}
