package processing

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/apply"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

const kind = "SignalProcessing"

const (
	// workTimeout bounds the work of a step, commitTimeout the recording of its
	// events and the write of its status.
	workTimeout   = 30 * time.Second
	commitTimeout = 15 * time.Second
	// conflictDelay is the delay before a step is repeated after a conflict.
	conflictDelay = 10 * time.Millisecond
)

// Recorder records audit events. *audit.Store implements it.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Enricher collects the cluster's context of a target. *enrich.Enricher implements it.
type Enricher interface {
	Enrich(ctx context.Context, target v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error)
}

// Classifier evaluates the policies. *classify.Classifier implements it.
type Classifier interface {
	Classify(ctx context.Context, in classify.Input) (classify.Classification, error)
	Categorize(ctx context.Context, in classify.Input) (classify.Categorization, error)
	Policy() v1alpha1.Policy
}

// Parts are the dependencies of a Reconciler. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.StatusClient
	Enricher     Enricher
	Classifier   Classifier
	Audit        Recorder
	// Events are the Kubernetes events that kubectl describe shows.
	Events  events.EventRecorder
	Metrics *Metrics
	Clock   clock.PassiveClock
	Log     *zap.Logger
}

// Options of a Reconciler.
type Options struct {
	// MaxAttempts is the number of attempts at enrichment before processing fails, at least 1.
	MaxAttempts int32
	// FirstBackoff is the delay after the first failed attempt; it doubles up to MaxBackoff.
	FirstBackoff, MaxBackoff time.Duration
	// Concurrency is the number of resources that are processed concurrently.
	Concurrency int
}

// Reconciler performs the steps of SignalProcessings. It is stateless: all state is
// in the resources.
type Reconciler struct {
	Parts

	options Options
}

// New makes a Reconciler.
func New(parts Parts, options Options) (*Reconciler, error) {
	switch {
	case options.MaxAttempts < 1:
		return nil, fmt.Errorf("attempts %d: must be at least 1", options.MaxAttempts)
	case options.FirstBackoff <= 0 || options.MaxBackoff < options.FirstBackoff:
		return nil, fmt.Errorf("backoff from %s to %s: must be positive and not decreasing", options.FirstBackoff, options.MaxBackoff)
	case options.Concurrency < 1:
		return nil, fmt.Errorf("concurrency %d: must be at least 1", options.Concurrency)
	}
	return &Reconciler{Parts: parts, options: options}, nil
}

// Reconcile performs the next step of a resource, if there is one. It reports no
// error after ctx has ended: the service is stopping, and the step is performed
// after its next start.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcile(ctx, request)
	if ctx.Err() != nil {
		return reconcile.Result{}, nil //nolint:nilerr // stopping is not a failure
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var sp v1alpha1.SignalProcessing
	// A terminal phase in the cache is final for its generation and saves the live read.
	if err := r.Cached.Get(ctx, request.NamespacedName, &sp); err == nil && finished(&sp) {
		return reconcile.Result{}, nil
	}
	sp = v1alpha1.SignalProcessing{}
	if err := r.Live.Get(ctx, request.NamespacedName, &sp); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read %s %s: %w", kind, request.NamespacedName, err)
	}
	if finished(&sp) || sp.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	phase := auditevents.StepOf(&sp).Phase
	start := r.Clock.Now()
	result, err := r.step(ctx, &sp)
	r.Metrics.step(phase, r.Clock.Since(start), err)
	return result, err
}

// finished reports whether the current generation needs no further step.
func finished(sp *v1alpha1.SignalProcessing) bool {
	return sp.Status.Phase.Terminal() && sp.Status.ObservedGeneration == sp.Generation
}

func (r *Reconciler) step(ctx context.Context, sp *v1alpha1.SignalProcessing) (reconcile.Result, error) {
	plan, err := r.plan(ctx, sp)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("%s %s: %w", kind, client.ObjectKeyFromObject(sp), err)
	}
	// A step that is decided is completed even if the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	return r.commit(ctx, sp, plan)
}

// commit records the step's events before it writes the status that shows them.
func (r *Reconciler) commit(ctx context.Context, sp *v1alpha1.SignalProcessing, p *plan) (reconcile.Result, error) {
	for _, event := range p.events {
		if err := r.Audit.Record(ctx, event); err != nil {
			return reconcile.Result{}, fmt.Errorf("record %s of %s %s: %w", event.Type, kind, client.ObjectKeyFromObject(sp), err)
		}
	}
	err := r.write(ctx, sp, &p.status)
	switch {
	case apierrors.IsConflict(err):
		r.Metrics.conflict()
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, err
	}
	r.announce(sp, p)
	return reconcile.Result{RequeueAfter: p.retryAfter}, nil
}

// write writes the status unless generation or status have changed since the step
// was planned.
func (r *Reconciler) write(ctx context.Context, sp *v1alpha1.SignalProcessing, status *v1alpha1.SignalProcessingStatus) error {
	same := func(fresh *v1alpha1.SignalProcessing) bool {
		return fresh.Generation == sp.Generation && equality.Semantic.DeepEqual(fresh.Status, sp.Status)
	}
	return apply.StatusWithRetry(ctx, r.Writer, r.Live, kind, sp, status, same) //nolint:wrapcheck // of this module
}

// announce counts and logs a completed step, and emits its Kubernetes event.
func (r *Reconciler) announce(sp *v1alpha1.SignalProcessing, p *plan) {
	r.Metrics.decided(&p.status)
	if p.status.Phase == sp.Status.Phase {
		r.Events.Eventf(sp, nil, corev1.EventTypeWarning, "AttemptFailed", "Process", "%s", p.status.Message)
		r.Log.Info("attempt failed", zap.String("namespace", sp.Namespace), zap.String("name", sp.Name),
			zap.String("phase", string(sp.Status.Phase)), zap.Int32("attempt", p.status.Attempt), zap.String("reason", p.status.Message))
		return
	}
	eventType := corev1.EventTypeNormal
	if p.status.Phase == v1alpha1.ProcessingFailed {
		eventType = corev1.EventTypeWarning
	}
	r.Events.Eventf(sp, nil, eventType, string(p.status.Phase), "Process", "%s", p.status.Message)
	r.Log.Info("phase changed", zap.String("namespace", sp.Namespace), zap.String("name", sp.Name),
		zap.String("from", string(cmp.Or(sp.Status.Phase, v1alpha1.ProcessingPending))), zap.String("to", string(p.status.Phase)), zap.Int64("generation", sp.Generation))
}
