package resolve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

const (
	// fieldManager is the name under which this package writes.
	fieldManager = "workflowexecution"
	// writeTimeout bounds the recording of the events of an end and the writes that follow.
	writeTimeout = 15 * time.Second
	// reasonFinished is why a proposal for a finished request is invalidated.
	reasonFinished = "RequestFinished"
)

// Parts are the dependencies of a Resolver. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	Audit        auditevents.Recorder
	// Events are the Kubernetes events that kubectl describe shows.
	Events  events.EventRecorder
	Metrics *Metrics
	// Executions count the proposals that are invalidated.
	Executions *metrics.Metrics
	Clock      clock.PassiveClock
	Log        *zap.Logger
	// StaleAfter is how long a request stays open without another signal.
	StaleAfter time.Duration
}

// Metrics count the ends.
type Metrics struct {
	ends *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{ends: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "workflowexecution_requests_ended_total",
		Help: "Requests that ended because of their signal, by reason (ResolvedBeforeExecution, Resolved or Stale).",
	}, []string{"reason"})}
	if err := registerer.Register(m.ends); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	for _, reason := range []string{v1alpha1.ReasonResolvedBeforeExecution, v1alpha1.ReasonResolved, v1alpha1.ReasonStale} {
		m.ends.WithLabelValues(reason).Add(0)
	}
	return m, nil
}

// Resolver ends requests. It is stateless.
type Resolver struct {
	Parts
}

// New makes a Resolver.
func New(parts Parts) (*Resolver, error) {
	if parts.StaleAfter <= 0 {
		return nil, errors.New("end requests without a signal: the duration must be positive")
	}
	return &Resolver{Parts: parts}, nil
}

// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationrequests/status,verbs=patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions/status,verbs=patch

// Resolve ends a request if that is due; otherwise it says after how long it may be, if it
// may be at all. After a conflict, the decision is to be made again.
func (r *Resolver) Resolve(ctx context.Context, key client.ObjectKey) (time.Duration, error) {
	// The cached request saves the live reads while nothing is due.
	for live, reader := range []client.Reader{r.Cached, r.Live} {
		rr := &v1alpha1.RemediationRequest{}
		if err := reader.Get(ctx, key, rr); err != nil {
			return 0, fmt.Errorf("read request %s: %w", key, err)
		}
		d := decide(rr, r.StaleAfter, r.Clock.Now())
		if d.end.Phase == "" && !d.sweep {
			return 0, nil
		}
		if d.after > 0 {
			return d.after, nil
		}
		executions, err := executionsOf(ctx, reader, rr)
		if err != nil {
			return 0, err
		}
		if d.sweep && !containsUndecided(executions) {
			return 0, nil
		}
		if live == 1 {
			return 0, r.act(ctx, rr, d, executions)
		}
	}
	return 0, nil
}

// executionsOf are the executions of a request.
func executionsOf(ctx context.Context, reader client.Reader, rr *v1alpha1.RemediationRequest) ([]v1alpha1.WorkflowExecution, error) {
	list := &v1alpha1.WorkflowExecutionList{}
	if err := reader.List(ctx, list, client.InNamespace(rr.Namespace), client.MatchingLabels{v1alpha1.LabelRequest: rr.Name}); err != nil {
		return nil, fmt.Errorf("list the executions of request %s: %w", client.ObjectKeyFromObject(rr), err)
	}
	var own []v1alpha1.WorkflowExecution
	for i := range list.Items {
		if list.Items[i].Spec.Request.UID == rr.UID {
			own = append(own, list.Items[i])
		}
	}
	return own, nil
}

func containsUndecided(executions []v1alpha1.WorkflowExecution) bool {
	for i := range executions {
		if undecided(&executions[i]) {
			return true
		}
	}
	return false
}

// act invalidates what is proposed for the request, and ends the request.
func (r *Resolver) act(ctx context.Context, rr *v1alpha1.RemediationRequest, d decision, executions []v1alpha1.WorkflowExecution) error {
	// What is recorded is shown, even if the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if !d.sweep {
		if d = d.withExecutions(rr, executions); d.end.Phase == "" {
			return nil
		}
	}
	reason, message := d.end.Reason, d.end.Message
	if d.sweep {
		reason, message = reasonFinished, "the request is "+string(rr.Status.Phase)
	}
	for i := range executions {
		if !undecided(&executions[i]) {
			continue
		}
		if err := r.invalidate(ctx, &executions[i], reason, message); err != nil {
			return err
		}
	}
	if d.sweep {
		return nil
	}
	return r.end(ctx, rr, d.end)
}

// invalidate ends a proposal that has not started. It fails if that was written meanwhile: it
// may have started.
func (r *Resolver) invalidate(ctx context.Context, wfe *v1alpha1.WorkflowExecution, reason, message string) error {
	event, err := auditevents.Invalidated(wfe, reason, message)
	if err == nil {
		err = r.Audit.Record(ctx, event)
	}
	if err != nil {
		return fmt.Errorf("record that execution %s is invalidated: %w", client.ObjectKeyFromObject(wfe), err)
	}
	ended := wfe.DeepCopy()
	ended.Status.Phase, ended.Status.Reason, ended.Status.Message = v1alpha1.ExecutionInvalidated, reason, message
	patch := client.MergeFromWithOptions(wfe, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Status().Patch(ctx, ended, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("invalidate execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	}
	r.Executions.Changed(wfe, ended)
	r.Log.Info("proposal invalidated", zap.String("namespace", wfe.Namespace), zap.String("execution", wfe.Name), zap.String("reason", reason))
	return nil
}

// end shows the end of a request, after its event.
func (r *Resolver) end(ctx context.Context, rr *v1alpha1.RemediationRequest, end auditevents.RequestEnd) error {
	event, err := auditevents.RequestEnded(rr, end)
	if err == nil {
		err = r.Audit.Record(ctx, event)
	}
	if err != nil {
		return fmt.Errorf("record the end of request %s: %w", client.ObjectKeyFromObject(rr), err)
	}
	ended := rr.DeepCopy()
	finish(ended, end, metav1.NewMicroTime(r.Clock.Now()))
	patch := client.MergeFromWithOptions(rr, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Status().Patch(ctx, ended, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("write status of request %s: %w", client.ObjectKeyFromObject(rr), err)
	}
	r.Metrics.ends.WithLabelValues(end.Reason).Inc()
	r.Events.Eventf(ended, nil, corev1.EventTypeNormal, string(end.Phase), "End", "%s", end.Message)
	r.Log.Info("request ended", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
		zap.String("from", string(rr.Status.Phase)), zap.String("to", string(end.Phase)), zap.String("reason", end.Reason))
	return nil
}
