package remediationrequest

import (
	"cmp"
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
	"kubernaut.ai/services/signalprocessing/internal/apply"
)

const kind = "RemediationRequest"

const (
	// writeTimeout bounds the write of a status.
	writeTimeout = 15 * time.Second
	// conflictDelay is the delay before a retry after a conflict.
	conflictDelay = 10 * time.Millisecond
)

// Parts are the dependencies of a Reconciler. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Clock        clock.PassiveClock
	Log          *zap.Logger
	// Concurrency is the number of requests that are handled concurrently, at least 1.
	Concurrency int
}

// Reconciler creates SignalProcessings and mirrors them. It is stateless.
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

// Reconcile ensures that the request has a SignalProcessing and mirrors its status.
//
// The request is read before the SignalProcessing, and written only if our part of
// it has not changed since. So a late writer, for instance a deposed leader, never
// overwrites a newer state with an older one. Reconcile reports no error after ctx
// has ended: the service is stopping.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcile(ctx, req)
	if ctx.Err() != nil {
		return reconcile.Result{}, nil //nolint:nilerr // stopping is not a failure
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var rr v1alpha1.RemediationRequest
	// A request never returns to a phase of ours, so the cached phase saves the live read.
	if err := r.Cached.Get(ctx, req.NamespacedName, &rr); err == nil && !owned(rr.Status.Phase) {
		return reconcile.Result{}, nil
	}
	rr = v1alpha1.RemediationRequest{}
	if err := r.Live.Get(ctx, req.NamespacedName, &rr); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read %s %s: %w", kind, req.NamespacedName, err)
	}
	if !owned(rr.Status.Phase) || rr.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	sp, err := r.processing(ctx, &rr)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return reconcile.Result{}, nil // the request is removed with its namespace
	case err != nil:
		return reconcile.Result{}, err
	}
	return r.mirror(ctx, &rr, sp)
}

// processing reads the request's SignalProcessing, or creates it.
func (r *Reconciler) processing(ctx context.Context, rr *v1alpha1.RemediationRequest) (*v1alpha1.SignalProcessing, error) {
	key := client.ObjectKeyFromObject(rr)
	sp := &v1alpha1.SignalProcessing{}
	err := r.Live.Get(ctx, key, sp)
	if apierrors.IsNotFound(err) {
		if sp, err = r.create(ctx, rr); apierrors.IsAlreadyExists(err) {
			// Created concurrently, with the same content.
			sp = &v1alpha1.SignalProcessing{}
			err = r.Live.Get(ctx, key, sp)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("SignalProcessing of %s %s: %w", kind, key, err)
	}
	if sp.Spec.RemediationRequestRef.UID != rr.UID {
		return nil, fmt.Errorf("SignalProcessing %s belongs to an earlier request of this name (UID %s) and must be deleted first",
			key, sp.Spec.RemediationRequestRef.UID)
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
	if err := r.Writer.Create(ctx, sp, client.FieldOwner(apply.FieldManager)); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	r.Log.Info("signal processing created", zap.String("namespace", sp.Namespace), zap.String("name", sp.Name))
	return sp, nil
}

// mirror writes the mirrored status unless the request shows it already.
func (r *Reconciler) mirror(ctx context.Context, rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) (reconcile.Result, error) {
	part := mirrored(rr, sp, metav1.NewTime(r.Clock.Now()))
	if shows(&rr.Status, part) {
		return reconcile.Result{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	same := func(fresh *v1alpha1.RemediationRequest) bool { return shows(&fresh.Status, &rr.Status) }
	err := apply.StatusWithRetry(ctx, r.Writer, r.Live, kind, rr, part, same)
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, err //nolint:wrapcheck // of this module
	}
	// A request without a phase is pending.
	if from := cmp.Or(rr.Status.Phase, v1alpha1.RemediationPending); part.Phase != from {
		r.Log.Info("phase changed", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
			zap.String("from", string(from)), zap.String("to", string(part.Phase)))
	}
	return reconcile.Result{}, nil
}
