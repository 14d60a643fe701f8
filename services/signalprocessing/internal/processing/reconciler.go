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
	// workTimeout bounds the work of a step, commitTimeout its records and its write.
	workTimeout   = 30 * time.Second
	commitTimeout = 15 * time.Second
	// conflictDelay is the wait before a step is made again after a conflict.
	conflictDelay = 10 * time.Millisecond
)

// Recorder accepts audit events; *audit.Store is one.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Enricher finds out what the cluster knows about a target; *enrich.Enricher is one.
type Enricher interface {
	Enrich(ctx context.Context, target v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error)
}

// Classifier decides; *classify.Classifier is one.
type Classifier interface {
	Classify(ctx context.Context, in classify.Input) (classify.Classification, error)
	Categorize(ctx context.Context, in classify.Input) (classify.Categorization, error)
	Policy() v1alpha1.Policy
}

// Parts are what a Reconciler works with. All are required.
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
	// MaxAttempts is how often enrichment is tried before processing fails, at least 1.
	MaxAttempts int32
	// FirstBackoff is the wait after the first failed attempt; it doubles up to MaxBackoff.
	FirstBackoff, MaxBackoff time.Duration
	// Concurrency is how many resources are processed at the same time.
	Concurrency int
}

// Reconciler makes the steps of SignalProcessings. It keeps no state: all of
// it is in the resources.
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
		return nil, fmt.Errorf("backoff from %s to %s: must be positive and growing", options.FirstBackoff, options.MaxBackoff)
	case options.Concurrency < 1:
		return nil, fmt.Errorf("concurrency %d: must be at least 1", options.Concurrency)
	}
	return &Reconciler{Parts: parts, options: options}, nil
}

// Reconcile makes the next step of one resource, if there is one. An error
// after ctx ended is not reported: the service stops, and the step is made
// when it runs again.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcile(ctx, request)
	if ctx.Err() != nil {
		return reconcile.Result{}, nil //nolint:nilerr // a stop is no failure
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var sp v1alpha1.SignalProcessing
	// An end that the cache shows is final for its generation: it saves the live read.
	if err := r.Cached.Get(ctx, request.NamespacedName, &sp); err == nil && settled(&sp) {
		return reconcile.Result{}, nil
	}
	sp = v1alpha1.SignalProcessing{}
	if err := r.Live.Get(ctx, request.NamespacedName, &sp); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read %s %s: %w", kind, request.NamespacedName, err)
	}
	if settled(&sp) || sp.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	phase := auditevents.StepOf(&sp).Phase
	start := r.Clock.Now()
	result, err := r.step(ctx, &sp)
	r.Metrics.step(phase, r.Clock.Since(start), err)
	return result, err
}

// settled tells whether there is nothing left to do for the present generation.
func settled(sp *v1alpha1.SignalProcessing) bool {
	return sp.Status.Phase.Terminal() && sp.Status.ObservedGeneration == sp.Generation
}

func (r *Reconciler) step(ctx context.Context, sp *v1alpha1.SignalProcessing) (reconcile.Result, error) {
	plan, err := r.plan(ctx, sp)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("%s %s: %w", kind, client.ObjectKeyFromObject(sp), err)
	}
	// What is decided is finished even when the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	return r.commit(ctx, sp, plan)
}

// commit records the step's events and then writes its status: no status
// without its events.
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

// write writes the status as long as the resource is the one that the step was
// planned for.
func (r *Reconciler) write(ctx context.Context, sp *v1alpha1.SignalProcessing, status *v1alpha1.SignalProcessingStatus) error {
	same := func(fresh *v1alpha1.SignalProcessing) bool {
		return fresh.Generation == sp.Generation && equality.Semantic.DeepEqual(fresh.Status, sp.Status)
	}
	return apply.Settled(ctx, r.Writer, r.Live, kind, sp, status, same) //nolint:wrapcheck // of this module
}

// announce tells of a step that is made.
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
