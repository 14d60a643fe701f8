package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/statuswrite"
)

const kind = "RemediationRequest"

const (
	// writeTimeout bounds the recording of an event and the write that follows.
	writeTimeout = 15 * time.Second
	// flushTimeout bounds the wait until the events of a trail are stored, and
	// flushRetry is the delay before the next attempt.
	flushTimeout = 5 * time.Second
	flushRetry   = time.Minute
	// conflictDelay is the delay before a decision is made again.
	conflictDelay = 10 * time.Millisecond
	// patience is how long a deleted request waits for the register.
	patience = 10 * time.Minute
)

// Store records audit events. *audit.Store implements it.
type Store interface {
	Record(ctx context.Context, e *audit.Event) error
	FlushFor(ctx context.Context, correlationID string) (audit.Receipt, error)
}

// Register is the register of fingerprints. *signalregister.Register implements it.
type Register interface {
	Close(ctx context.Context, request *v1alpha1.RemediationRequest) error
}

// Parts are the dependencies of a Reconciler. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Register     Register
	Audit        Store
	// Events are the Kubernetes events that kubectl describe shows.
	Events  events.EventRecorder
	Metrics *Metrics
	Clock   clock.PassiveClock
	Log     *zap.Logger
}

// Options of a Reconciler.
type Options struct {
	// StaleAfter is how long a request stays open without another signal.
	StaleAfter time.Duration
	// FinishedTTL is how long a finished request is kept.
	FinishedTTL time.Duration
	// GatewayNamespace is where the register is.
	GatewayNamespace string
	// LeaveClassified leaves requests to WorkflowExecution from their classification on.
	LeaveClassified bool
}

// Reconciler ends and deletes requests.
type Reconciler struct {
	Parts

	options Options
}

// New makes a Reconciler.
func New(parts Parts, options Options) (*Reconciler, error) {
	switch {
	case options.StaleAfter <= 0:
		return nil, fmt.Errorf("end requests after %s without a signal: must be positive", options.StaleAfter)
	case options.FinishedTTL <= 0:
		return nil, fmt.Errorf("keep finished requests for %s: must be positive", options.FinishedTTL)
	case options.GatewayNamespace == "":
		return nil, errors.New("the namespace of the register is required")
	}
	return &Reconciler{Parts: parts, options: options}, nil
}

// Reconcile ends a request if it is due, or lets a deleted one go; otherwise it says when
// that may be due.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	return r.act(ctx, req.NamespacedName, func(ctx context.Context, rr *v1alpha1.RemediationRequest, d decision) (time.Duration, error) {
		if d.action == release {
			return 0, r.release(ctx, rr)
		}
		return 0, r.end(ctx, rr, d)
	}, end, release)
}

// Expire deletes a finished request if it is due, and otherwise says when that may be.
// It has a queue of its own, because it waits for DataStorage.
func (r *Reconciler) Expire(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	return r.act(ctx, req.NamespacedName, func(ctx context.Context, rr *v1alpha1.RemediationRequest, _ decision) (time.Duration, error) {
		return r.expire(ctx, rr)
	}, expire)
}

// act calls do if one of the actions is due for a request, as read from the API server.
func (r *Reconciler) act(
	ctx context.Context, key client.ObjectKey, do func(context.Context, *v1alpha1.RemediationRequest, decision) (time.Duration, error), actions ...action,
) (reconcile.Result, error) {
	again, err := r.actIfDue(ctx, key, do, actions)
	switch {
	case ctx.Err() != nil, apierrors.IsNotFound(err):
		return reconcile.Result{}, nil //nolint:nilerr // stopping, or the request is gone
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	return reconcile.Result{RequeueAfter: again}, err
}

func (r *Reconciler) actIfDue(
	ctx context.Context, key client.ObjectKey, do func(context.Context, *v1alpha1.RemediationRequest, decision) (time.Duration, error), actions []action,
) (time.Duration, error) {
	// The cached request saves the live read while nothing is due.
	for live, reader := range []client.Reader{r.Cached, r.Live} {
		rr := &v1alpha1.RemediationRequest{}
		if err := reader.Get(ctx, key, rr); err != nil {
			return 0, fmt.Errorf("read %s %s: %w", kind, key, err)
		}
		d := r.options.decide(rr, r.Clock.Now())
		switch {
		case !slices.Contains(actions, d.action):
			return 0, nil
		case d.after > 0:
			return d.after, nil
		case live == 1:
			return do(ctx, rr, d)
		}
	}
	return 0, nil
}

// end makes an open request Skipped.
func (r *Reconciler) end(ctx context.Context, rr *v1alpha1.RemediationRequest, d decision) error {
	// What is recorded is shown, even if the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := r.record(ctx, rr, func() (*audit.Event, error) {
		return auditevents.Skipped(rr, auditevents.End{Reason: d.reason, LastSeenAt: rr.LastSeenAt(), Message: d.message})
	}); err != nil {
		return err
	}
	now := metav1.NewMicroTime(r.Clock.Now())
	ended, err := statuswrite.Patch(ctx, r.Writer, r.Live, kind, rr,
		func(rr *v1alpha1.RemediationRequest) { finish(rr, d, now) },
		func(fresh *v1alpha1.RemediationRequest) bool {
			return sameSignals(fresh, rr) && fresh.DeletionTimestamp == nil
		})
	if err != nil {
		return err //nolint:wrapcheck // names the resource
	}
	r.Metrics.ended(d.reason)
	r.Events.Eventf(ended, nil, corev1.EventTypeNormal, string(v1alpha1.RemediationSkipped), "End", "%s", d.message)
	r.Log.Info("request ended", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
		zap.String("from", string(auditevents.PhaseOf(rr))), zap.String("reason", d.reason))
	return nil
}

// finish shows the end of a request in its status.
func finish(rr *v1alpha1.RemediationRequest, d decision, now metav1.MicroTime) {
	status := &rr.Status
	status.Phase, status.Message, status.CompletedAt, status.ObservedGeneration = v1alpha1.RemediationSkipped, d.message, &now, rr.Generation
	condition := metav1.Condition{
		Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue, ObservedGeneration: rr.Generation,
		LastTransitionTime: metav1.NewTime(now.Time), Reason: d.reason, Message: d.message,
	}
	meta.SetStatusCondition(&status.Conditions, condition)
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionManualReview) {
		condition.Type, condition.Status = v1alpha1.ConditionManualReview, metav1.ConditionFalse
		meta.SetStatusCondition(&status.Conditions, condition)
	}
}

// sameSignals reports whether a decision about one version of a request holds for another.
func sameSignals(a, b *v1alpha1.RemediationRequest) bool {
	last := a.LastSeenAt()
	other := b.LastSeenAt()
	return a.Status.Phase == b.Status.Phase && a.Fires() == b.Fires() && last.Equal(&other) && a.Occurrences() == b.Occurrences() &&
		slices.Equal(a.SaidSeverities(), b.SaidSeverities())
}

// expire deletes a request that is finished for long enough.
func (r *Reconciler) expire(ctx context.Context, rr *v1alpha1.RemediationRequest) (time.Duration, error) {
	flush, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := r.record(flush, rr, func() (*audit.Event, error) { return auditevents.Deleted(rr, auditevents.CauseExpired) }); err != nil {
		return 0, err
	}
	if _, err := r.Audit.FlushFor(flush, rr.Name); err != nil {
		r.Metrics.delayed(delayedByTrail)
		r.Log.Warn("a finished request is kept until its trail is stored", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name), zap.Error(err))
		return flushRetry, nil
	}
	ctx, cancel = context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := r.closeRegister(ctx, rr); err != nil {
		return 0, err
	}
	err := r.Writer.Delete(ctx, rr, client.Preconditions{UID: &rr.UID, ResourceVersion: &rr.ResourceVersion})
	if err != nil {
		return 0, fmt.Errorf("delete %s %s: %w", kind, client.ObjectKeyFromObject(rr), err)
	}
	if !finalizedByUs(rr) {
		r.removed(rr, auditevents.CauseExpired)
	}
	return 0, nil
}

// release lets a deleted request go.
func (r *Reconciler) release(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	cause := auditevents.CauseRequested
	if r.options.expired(rr, r.Clock.Now()) {
		cause = auditevents.CauseExpired
	}
	if err := r.record(ctx, rr, func() (*audit.Event, error) { return auditevents.Deleted(rr, cause) }); err != nil {
		return err
	}
	if err := r.closeRegister(ctx, rr); err != nil {
		return err
	}
	released := rr.DeepCopy()
	controllerutil.RemoveFinalizer(released, v1alpha1.FinalizerRegister)
	patch := client.MergeFromWithOptions(rr, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Patch(ctx, released, patch, client.FieldOwner(statuswrite.FieldManager)); err != nil {
		return fmt.Errorf("remove the finalizer of %s %s: %w", kind, client.ObjectKeyFromObject(rr), err)
	}
	r.removed(rr, cause)
	return nil
}

// closeRegister closes the register of a request that is about to go. It returns nil
// also if there is no register, or if a deleted request has waited for long enough.
func (r *Reconciler) closeRegister(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	err := r.Register.Close(ctx, rr)
	if err == nil {
		return nil
	}
	log := r.Log.With(zap.String("namespace", rr.Namespace), zap.String("name", rr.Name), zap.Error(err))
	// With the namespace, the right to read its Leases is gone, too.
	namespace := &corev1.Namespace{}
	if apierrors.IsNotFound(r.Live.Get(ctx, client.ObjectKey{Name: r.options.GatewayNamespace}, namespace)) {
		log.Info("a request goes without its register, because the namespace of the register is gone")
		return nil
	}
	r.Metrics.delayed(delayedByRegister)
	if rr.DeletionTimestamp != nil && r.Clock.Since(rr.DeletionTimestamp.Time) >= patience {
		log.Warn("a deleted request goes although its register could not be closed")
		return nil
	}
	return fmt.Errorf("close the register of %s %s: %w", kind, client.ObjectKeyFromObject(rr), err)
}

func (r *Reconciler) record(ctx context.Context, rr *v1alpha1.RemediationRequest, build func() (*audit.Event, error)) error {
	event, err := build()
	if err != nil {
		return err
	}
	if err := r.Audit.Record(ctx, event); err != nil {
		return fmt.Errorf("record %s of %s %s: %w", event.Type, kind, client.ObjectKeyFromObject(rr), err)
	}
	return nil
}

func (r *Reconciler) removed(rr *v1alpha1.RemediationRequest, cause string) {
	r.Metrics.deleted(cause)
	r.Log.Info("request deleted", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
		zap.String("phase", string(auditevents.PhaseOf(rr))), zap.String("cause", cause))
}

func finalizedByUs(rr *v1alpha1.RemediationRequest) bool {
	return controllerutil.ContainsFinalizer(rr, v1alpha1.FinalizerRegister)
}
