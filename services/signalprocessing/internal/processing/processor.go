package processing

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/statuswrite"
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
}

// Parts are the dependencies of a Processor. All are required.
type Parts struct {
	// Live reads from the API server.
	Live       client.Reader
	Writer     client.StatusClient
	Enricher   Enricher
	Classifier Classifier
	Audit      Recorder
	// Events are the Kubernetes events that kubectl describe shows.
	Events  events.EventRecorder
	Metrics *Metrics
	Clock   clock.PassiveClock
	Log     *zap.Logger
}

// Options of a Processor.
type Options struct {
	// MaxAttempts is the number of attempts at enrichment before processing fails, at least 1.
	MaxAttempts int32
	// GatewayNamespace is the only namespace whose requests may have the context of any target.
	GatewayNamespace string
	// FirstBackoff is the delay after the first failed attempt; it doubles up to MaxBackoff.
	FirstBackoff, MaxBackoff time.Duration
}

// Processor performs the steps of SignalProcessings. It is stateless: all state is in
// the resources. It is safe for concurrent use for different resources.
type Processor struct {
	Parts

	options Options
}

// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings/status,verbs=update
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=pods;nodes;namespaces;services;persistentvolumeclaims;persistentvolumes;replicationcontrollers,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;replicasets;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses,verbs=get
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=list
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update

// New makes a Processor.
func New(parts Parts, options Options) (*Processor, error) {
	switch {
	case options.MaxAttempts < 1:
		return nil, fmt.Errorf("attempts %d: must be at least 1", options.MaxAttempts)
	case options.FirstBackoff <= 0 || options.MaxBackoff < options.FirstBackoff:
		return nil, fmt.Errorf("backoff from %s to %s: must be positive and not decreasing", options.FirstBackoff, options.MaxBackoff)
	}
	return &Processor{Parts: parts, options: options}, nil
}

// outcome is the error that counts for a step: that of its attempt, even if the attempt
// was recorded and will be repeated.
func outcome(p *plan, err error) error {
	if err != nil {
		return err
	}
	return p.failure
}

// Settled reports whether a resource needs no step. said are the severities, as the
// source said them, of the request's signals.
func (r *Processor) Settled(sp *v1alpha1.SignalProcessing, said []string) bool {
	return sp.Status.Phase.Terminal() && sp.Status.ObservedGeneration == sp.Generation && len(unseen(sp, said)) == 0
}

// Run performs the steps of a resource that was read from the API server, until there is
// none, or one has to wait. It returns the resource as it is stored after the last step,
// and how long the next one has to wait; zero if there is none. After ctx has ended, Run
// finishes the step that is decided, and returns the error of ctx.
func (r *Processor) Run(ctx context.Context, sp *v1alpha1.SignalProcessing, said []string) (*v1alpha1.SignalProcessing, time.Duration, error) {
	for {
		phase := auditevents.StepOf(sp).Phase
		start := r.Clock.Now()
		p, err := r.plan(ctx, sp, said)
		if err == nil && p == nil {
			return sp, 0, nil
		}
		var stored *v1alpha1.SignalProcessing
		if err == nil {
			stored, err = r.commit(ctx, sp, p)
		}
		if apierrors.IsConflict(err) {
			r.Metrics.step(phase, r.Clock.Since(start), nil)
			r.Metrics.conflict()
			return sp, conflictDelay, nil
		}
		r.Metrics.step(phase, r.Clock.Since(start), outcome(p, err))
		switch {
		case err != nil:
			return sp, 0, fmt.Errorf("%s %s: %w", kind, client.ObjectKeyFromObject(sp), err)
		case p.retryAfter > 0:
			return stored, p.retryAfter, nil
		case ctx.Err() != nil:
			return stored, 0, fmt.Errorf("%s %s: %w", kind, client.ObjectKeyFromObject(sp), ctx.Err())
		}
		sp = stored
	}
}

// commit records the step's events before it writes the status that shows them. It
// completes a step even if the service is asked to stop.
func (r *Processor) commit(ctx context.Context, sp *v1alpha1.SignalProcessing, p *plan) (*v1alpha1.SignalProcessing, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	for _, event := range p.events {
		if err := r.Audit.Record(ctx, event); err != nil {
			return nil, fmt.Errorf("record %s: %w", event.Type, err)
		}
	}
	stored, err := statuswrite.Replace(ctx, r.Writer, r.Live, kind, sp,
		func(sp *v1alpha1.SignalProcessing) { sp.Status = *p.status.DeepCopy() },
		func(fresh *v1alpha1.SignalProcessing) bool {
			return fresh.Generation == sp.Generation && equality.Semantic.DeepEqual(fresh.Status, sp.Status)
		})
	if err != nil {
		return nil, err //nolint:wrapcheck // names the resource
	}
	r.announce(sp, p)
	return stored, nil
}

// announce counts and logs a completed step. A request gets one Kubernetes event for
// each outcome that concerns people, rather than one for each step.
func (r *Processor) announce(sp *v1alpha1.SignalProcessing, p *plan) {
	log := r.Log.With(zap.String("namespace", sp.Namespace), zap.String("name", sp.Name))
	status := &p.status
	switch {
	case p.severity != (auditevents.Change[v1alpha1.Severity]{}):
		r.Metrics.reclassified(p.raises())
		if p.raises() {
			r.event(sp, corev1.EventTypeWarning, "Escalated", p.raised())
		}
		log.Info("classified again", zap.Bool("raised", p.raises()), zap.String("severity", string(status.Severity.Value)),
			zap.String("priority", string(status.Priority.Value)), zap.Strings("said", status.Severities))
		return
	case status.Phase == sp.Status.Phase:
		r.event(sp, corev1.EventTypeWarning, "AttemptFailed", status.Message)
		log.Info("attempt failed", zap.String("phase", string(status.Phase)), zap.Int32("attempt", status.Attempt), zap.String("reason", status.Message))
		return
	case status.Phase == v1alpha1.ProcessingCompleted:
		r.event(sp, corev1.EventTypeNormal, "Classified", fmt.Sprintf("severity %s, environment %s, priority %s",
			status.Severity.Value, status.Environment.Value, status.Priority.Value))
	case status.Phase == v1alpha1.ProcessingFailed:
		r.event(sp, corev1.EventTypeWarning, v1alpha1.ReasonProcessingFailed, status.Message)
	}
	r.Metrics.decided(status)
	log.Info("phase changed", zap.String("from", string(auditevents.StepOf(sp).Phase)), zap.String("to", string(status.Phase)),
		zap.Int64("generation", sp.Generation))
}

// event emits a Kubernetes event about the request that a resource belongs to.
func (r *Processor) event(sp *v1alpha1.SignalProcessing, eventType, reason, message string) {
	uid := sp.Spec.RemediationRequestRef.UID
	if owner := metav1.GetControllerOf(sp); owner != nil {
		uid = owner.UID // a request that was restored from a backup has another one
	}
	request := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: sp.Namespace, Name: sp.Spec.RemediationRequestRef.Name, UID: uid}}
	r.Events.Eventf(request, sp, eventType, reason, "Process", "%s", message)
}
