package remediationrequest

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/statuswrite"
)

const kind = "RemediationRequest"

const (
	// writeTimeout bounds the write of a status.
	writeTimeout = 15 * time.Second
	// conflictDelay is the delay before a retry after a conflict.
	conflictDelay = 10 * time.Millisecond
)

// Processor performs the steps of SignalProcessings. *processing.Processor implements it.
type Processor interface {
	// Settled reports whether a resource needs no step.
	Settled(sp *v1alpha1.SignalProcessing, said []string) bool
	// Run performs the steps of a resource; it returns the resource after the last
	// one, and how long the next one has to wait.
	Run(ctx context.Context, sp *v1alpha1.SignalProcessing, said []string) (*v1alpha1.SignalProcessing, time.Duration, error)
}

// Parts are the dependencies of a Reconciler. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Processor    Processor
	Clock        clock.PassiveClock
	Log          *zap.Logger
	// Concurrency is the number of requests that are handled concurrently, at least 1.
	Concurrency int
}

// Reconciler creates SignalProcessings, has them processed, and mirrors them. It is
// stateless.
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

// Reconcile takes the request of a name, and the SignalProcessing of the same name, as
// far as they get.
//
// The request is read before the SignalProcessing, and written only if our part of
// it has not changed since. So a late writer, for instance a deposed leader, never
// overwrites a newer state with an older one. Reconcile reports no error after ctx
// has ended: the service is stopping.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcile(ctx, req.NamespacedName)
	switch {
	case ctx.Err() != nil, apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return reconcile.Result{}, nil //nolint:nilerr // stopping, or the resources are going
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, key client.ObjectKey) (reconcile.Result, error) {
	rr, known, settled, err := r.cached(ctx, key)
	if err != nil || settled {
		return reconcile.Result{}, err
	}
	if rr != nil {
		telemetry.Link(ctx, rr)
	}
	if known || rr == nil || Begun(rr.Status.Phase) {
		rr = &v1alpha1.RemediationRequest{}
		err = r.Live.Get(ctx, key, rr)
	}
	switch {
	case apierrors.IsNotFound(err):
		return r.alone(ctx, key)
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("read %s %s: %w", kind, key, err)
	case rr.DeletionTimestamp != nil:
		return reconcile.Result{}, nil
	}
	sp, err := r.processing(ctx, rr, known)
	if err != nil || sp == nil {
		return reconcile.Result{}, err
	}
	if sp, err = r.own(ctx, rr, sp); err != nil || sp == nil {
		return reconcile.Result{}, err
	}
	sp, wait, err := r.Processor.Run(ctx, sp, rr.SaidSeverities())
	if err != nil {
		return reconcile.Result{}, err //nolint:wrapcheck // names the resource
	}
	return reconcile.Result{RequeueAfter: wait}, r.mirror(ctx, rr, sp)
}

// cached returns the cached request, nil if there is none, and reports whether the
// SignalProcessing is known to exist, and whether there is nothing to do.
//
// A new request needs no live read: it gets a SignalProcessing unless it has one, and its
// status is written only if it is what the cache says.
func (r *Reconciler) cached(ctx context.Context, key client.ObjectKey) (rr *v1alpha1.RemediationRequest, known, settled bool, err error) {
	rr, sp := &v1alpha1.RemediationRequest{}, &v1alpha1.SignalProcessing{}
	requested, err := exists(r.Cached.Get(ctx, key, rr))
	if err != nil {
		return nil, false, false, fmt.Errorf("read cached %s %s: %w", kind, key, err)
	}
	known, err = exists(r.Cached.Get(ctx, key, sp))
	if err != nil {
		return nil, false, false, fmt.Errorf("read cached SignalProcessing %s: %w", key, err)
	}
	switch {
	case requested && known:
		return rr, true, belongs(sp, rr) && r.Processor.Settled(sp, rr.SaidSeverities()) && shows(rr, sp), nil
	case requested:
		return rr, false, rr.DeletionTimestamp != nil || !creates(rr.Status.Phase), nil
	case known:
		return nil, true, r.Processor.Settled(sp, nil), nil
	default:
		return nil, false, true, nil
	}
}

// exists interprets the error of a read.
func exists(err error) (bool, error) {
	return err == nil, client.IgnoreNotFound(err) //nolint:wrapcheck // the caller names the object
}

// alone continues with a SignalProcessing that has no request.
func (r *Reconciler) alone(ctx context.Context, key client.ObjectKey) (reconcile.Result, error) {
	sp := &v1alpha1.SignalProcessing{}
	if err := r.Live.Get(ctx, key, sp); err != nil {
		return reconcile.Result{}, fmt.Errorf("read SignalProcessing %s: %w", key, err)
	}
	if sp.DeletionTimestamp != nil || metav1.GetControllerOf(sp) != nil {
		return reconcile.Result{}, nil // it is removed as its request was
	}
	_, wait, err := r.Processor.Run(ctx, sp, nil)
	return reconcile.Result{RequeueAfter: wait}, err //nolint:wrapcheck // names the resource
}

// processing reads the request's SignalProcessing, or creates it if the request needs
// one; nil if there is none.
func (r *Reconciler) processing(ctx context.Context, rr *v1alpha1.RemediationRequest, known bool) (*v1alpha1.SignalProcessing, error) {
	key := client.ObjectKeyFromObject(rr)
	if !known && creates(rr.Status.Phase) {
		sp, err := r.create(ctx, rr)
		if err == nil {
			return sp, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("SignalProcessing of %s %s: %w", kind, key, err)
		}
	}
	sp := &v1alpha1.SignalProcessing{}
	err := r.Live.Get(ctx, key, sp)
	switch {
	case apierrors.IsNotFound(err) && known && creates(rr.Status.Phase):
		return r.processing(ctx, rr, false) // deleted since
	case err != nil:
		return nil, fmt.Errorf("SignalProcessing of %s %s: %w", kind, key, err)
	case sp.DeletionTimestamp != nil:
		return nil, nil //nolint:nilnil // its deletion is reported
	}
	return sp, nil
}

func (r *Reconciler) create(ctx context.Context, rr *v1alpha1.RemediationRequest) (*v1alpha1.SignalProcessing, error) {
	sp := &v1alpha1.SignalProcessing{
		ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name},
		Spec: v1alpha1.SignalProcessingSpec{
			RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: rr.Name, UID: rr.UID},
			Signal:                *rr.Spec.Signal.DeepCopy(),
		},
	}
	if err := controllerutil.SetControllerReference(rr, sp, r.Writer.Scheme()); err != nil {
		return nil, fmt.Errorf("set owner: %w", err)
	}
	if err := r.Writer.Create(ctx, sp, client.FieldOwner(statuswrite.FieldManager)); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	r.Log.Info("signal processing created", zap.String("namespace", sp.Namespace), zap.String("name", sp.Name))
	return sp, nil
}

// mirror writes what the request does not show yet.
func (r *Reconciler) mirror(ctx context.Context, rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) error {
	if shows(rr, sp) {
		return nil
	}
	// The result is known: it is shown even if the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	now := metav1.NewTime(r.Clock.Now())
	written, err := statuswrite.Patch(ctx, r.Writer, r.Live, kind, rr,
		func(rr *v1alpha1.RemediationRequest) { mirror(rr, sp, now) },
		func(fresh *v1alpha1.RemediationRequest) bool { return sameForUs(&fresh.Status, &rr.Status) })
	if err != nil {
		return err //nolint:wrapcheck // names the resource
	}
	if from, to := auditevents.PhaseOf(rr), auditevents.PhaseOf(written); from != to {
		r.Log.Info("phase changed", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
			zap.String("from", string(from)), zap.String("to", string(to)))
	}
	return nil
}
