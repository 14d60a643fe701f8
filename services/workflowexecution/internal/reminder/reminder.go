package reminder

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit/wire"
)

const (
	// AlertName is the name of the alert. Route it to people, not to Kubernaut.
	AlertName = "KubernautApprovalPending"
	// EventReason is the reason of the Kubernetes event.
	EventReason = "ApprovalPending"

	// fires is how long an alert fires if it is not posted again: four looks at the proposal.
	fires = 4 * time.Minute
	// maxNote bounds the note of a Kubernetes event, in bytes; the API server takes 1 KiB.
	maxNote = 1000
)

// Reminder reminds people of proposals. It is safe for concurrent use.
type Reminder struct {
	events       events.EventRecorder
	alertmanager *Alertmanager
	clock        clock.PassiveClock
	log          *zap.Logger
	reminders    prometheus.Counter
}

// New makes a Reminder, and registers its metric.
func New(recorder events.EventRecorder, a *Alertmanager, c clock.PassiveClock, log *zap.Logger, registerer prometheus.Registerer) (*Reminder, error) {
	r := &Reminder{
		events: recorder, alertmanager: a, clock: c, log: log,
		reminders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflowexecution_approval_reminders_total",
			Help: "Proposals on which nobody had decided when half of the time for it was over.",
		}),
	}
	if err := registerer.Register(r.reminders); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return r, nil
}

// Remind tells Alertmanager that a proposal waits. The first time it emits a Kubernetes event, too.
func (r *Reminder) Remind(wfe *v1alpha1.WorkflowExecution, first bool) {
	spec := &wfe.Spec
	decide := fmt.Sprintf("Decide with: kubernaut approve %s -n %s, or kubernaut reject.", spec.Request.Name, wfe.Namespace)
	summary := fmt.Sprintf("Workflow %s waits for an approval for %s %s until %s", spec.Workflow.Name, spec.Target.Kind, spec.Target.Name,
		spec.ExpiresAt.UTC().Format(time.RFC3339))
	if first {
		r.reminders.Inc()
		r.events.Eventf(wfe, nil, corev1.EventTypeWarning, EventReason, "Remind", "%s", wire.Truncate(summary+". "+decide, maxNote))
		r.log.Info("half of the time for a decision is over", zap.String("namespace", wfe.Namespace), zap.String("name", wfe.Name),
			zap.Time("expires", spec.ExpiresAt.Time))
	}
	one := alertOf(wfe)
	one.Annotations = map[string]string{"summary": summary, "description": decide + " " + printable.Line(spec.ApprovalReason)}
	if spec.RunbookURL != "" {
		one.Annotations["runbook_url"] = spec.RunbookURL
	}
	if one.EndsAt = r.clock.Now().Add(fires).UTC(); one.EndsAt.After(spec.ExpiresAt.Time) {
		one.EndsAt = spec.ExpiresAt.UTC()
	}
	r.alertmanager.send(one)
}

// Settled tells Alertmanager that a proposal that it was told of does not wait any more.
func (r *Reminder) Settled(wfe *v1alpha1.WorkflowExecution) {
	one := alertOf(wfe)
	one.EndsAt = r.clock.Now().UTC()
	r.alertmanager.send(one)
}

// alertOf is the alert about a proposal: its labels make it the same alert in each post.
func alertOf(wfe *v1alpha1.WorkflowExecution) alert {
	spec := &wfe.Spec
	return alert{
		Labels: map[string]string{
			"alertname": AlertName, "severity": "warning", "namespace": wfe.Namespace, "request": spec.Request.Name, "execution": wfe.Name,
			"workflow": spec.Workflow.Name, "risk": string(spec.Workflow.Risk),
		},
		Annotations: map[string]string{},
		StartsAt:    Due(wfe).UTC(),
	}
}

// Due is when half of the time for a decision is over.
func Due(wfe *v1alpha1.WorkflowExecution) time.Time {
	created := wfe.CreationTimestamp.Time
	return created.Add(wfe.Spec.ExpiresAt.Sub(created) / 2)
}
