// Package metrics counts what happens to executions and requests, and shows what waits.
package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"

	"kubernaut.ai/api/v1alpha1"
)

// The results of an execution that has no outcome.
const (
	resultFailed      = "Failed"
	resultRejected    = "Rejected"
	resultExpired     = "Expired"
	resultInvalidated = "Invalidated"
)

// labelWorkflow names a workflow in metrics.
const labelWorkflow = "workflow"

// outcomes are the other results.
var outcomes = []v1alpha1.Outcome{v1alpha1.OutcomeEffective, v1alpha1.OutcomeIneffective, v1alpha1.OutcomeInconclusive}

// Who decided on a proposal.
const (
	byPerson = "person"
	byPolicy = "policy"
)

// Metrics count what the service does. They are safe for concurrent use.
type Metrics struct {
	executions    *prometheus.CounterVec
	proposalDelay prometheus.Histogram
	approvalWait  *prometheus.HistogramVec
	duration      *prometheus.HistogramVec
	verifications *prometheus.CounterVec
	guardRails    *prometheus.CounterVec
	policyErrors  prometheus.Counter
	contention    prometheus.Counter
}

// New makes the metrics and registers them.
func New(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflowexecution_executions_total",
			Help: "Executions that ended, by workflow and result (an outcome, Failed, Rejected, Expired or Invalidated).",
		}, []string{labelWorkflow, "result"}),
		proposalDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "workflowexecution_proposal_delay_seconds",
			Help:    "Time from the creation of a request to its first proposal.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 14),
		}),
		approvalWait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "workflowexecution_approval_wait_seconds",
			Help:    "Time from a proposal to the decision on it, by decision (Approved or Rejected) and by who decided (person or policy).",
			Buckets: prometheus.ExponentialBuckets(0.5, 2, 16),
		}, []string{"decision", "by"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "workflowexecution_execution_duration_seconds",
			Help:    "Time from the start of an execution to its end, without the verification, by workflow.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 16),
		}, []string{labelWorkflow}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflowexecution_verifications_total",
			Help: "Verifications that ended, by outcome.",
		}, []string{"outcome"}),
		guardRails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflowexecution_guard_rails_triggered_total",
			Help: "Executions that a guard rail began to hold back, or to require a person for, by guard rail.",
		}, []string{"rail"}),
		policyErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflowexecution_policy_errors_total",
			Help: "Selections for which the policy failed or gave an answer that the catalog does not allow.",
		}),
		contention: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflowexecution_lease_contention_total",
			Help: "Executions that began to wait because another one works below the same top owner.",
		}),
	}
	for _, c := range []prometheus.Collector{
		m.executions, m.proposalDelay, m.approvalWait, m.duration, m.verifications, m.guardRails, m.policyErrors, m.contention,
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	// A rate needs the zero before the first one.
	for _, outcome := range outcomes {
		m.verifications.WithLabelValues(string(outcome)).Add(0)
	}
	for _, rail := range []string{v1alpha1.RailCoolDown, v1alpha1.RailNamespaceMaximum, v1alpha1.RailClusterMaximum, v1alpha1.RailIneffective} {
		m.guardRails.WithLabelValues(rail).Add(0)
	}
	for _, decision := range []string{string(v1alpha1.ExecutionApproved), resultRejected} {
		m.approvalWait.WithLabelValues(decision, byPerson)
	}
	m.approvalWait.WithLabelValues(string(v1alpha1.ExecutionApproved), byPolicy)
	return m, nil
}

// Workflow tells of a workflow that may be executed.
func (m *Metrics) Workflow(name string) {
	m.duration.WithLabelValues(name)
	for _, outcome := range outcomes {
		m.executions.WithLabelValues(name, string(outcome)).Add(0)
	}
	for _, result := range []string{resultFailed, resultRejected, resultExpired, resultInvalidated} {
		m.executions.WithLabelValues(name, result).Add(0)
	}
}

// PolicyError counts a selection whose policy failed.
func (m *Metrics) PolicyError() { m.policyErrors.Inc() }

// FirstProposal observes how long a request waited for its first proposal.
func (m *Metrics) FirstProposal(delay time.Duration) {
	m.proposalDelay.Observe(max(0, delay.Seconds()))
}

// Changed counts a change of an execution's status that has been written.
func (m *Metrics) Changed(before, after *v1alpha1.WorkflowExecution) {
	if rail := triggered(after); rail != "" && rail != triggered(before) {
		m.guardRails.WithLabelValues(rail).Inc()
	}
	was, is := &before.Status, &after.Status
	if is.Reason == v1alpha1.ReasonTargetBusy && was.Reason != is.Reason {
		m.contention.Inc()
	}
	if is.Approval != nil && was.Approval == nil {
		m.decided(after)
	}
	if is.FinishedAt != nil && was.FinishedAt == nil && is.StartedAt != nil {
		m.duration.WithLabelValues(after.Spec.Workflow.Name).Observe(max(0, is.FinishedAt.Sub(is.StartedAt.Time).Seconds()))
	}
	if is.Phase.Terminal() && !was.Phase.Terminal() {
		m.executions.WithLabelValues(after.Spec.Workflow.Name, result(is)).Inc()
		if was.Phase == v1alpha1.ExecutionVerifying {
			m.verifications.WithLabelValues(string(is.Outcome)).Inc()
		}
	}
}

// decided observes how long a proposal waited for the decision.
func (m *Metrics) decided(wfe *v1alpha1.WorkflowExecution) {
	decision, by := string(v1alpha1.ExecutionApproved), byPerson
	if wfe.Status.Phase == v1alpha1.ExecutionRejected {
		decision = resultRejected
	}
	if len(wfe.Status.Approval.By) == 0 {
		by = byPolicy
	}
	wait := wfe.Status.Approval.At.Sub(wfe.CreationTimestamp.Time)
	m.approvalWait.WithLabelValues(decision, by).Observe(max(0, wait.Seconds()))
}

// result is how an execution ended, in a word.
func result(s *v1alpha1.WorkflowExecutionStatus) string {
	switch s.Phase {
	case v1alpha1.ExecutionRejected:
		return resultRejected
	case v1alpha1.ExecutionExpired:
		return resultExpired
	case v1alpha1.ExecutionInvalidated:
		return resultInvalidated
	case "", v1alpha1.ExecutionProposed, v1alpha1.ExecutionApproved, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying,
		v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed:
	}
	if s.Outcome != "" {
		return string(s.Outcome)
	}
	return resultFailed
}

// triggered is the guard rail that an execution shows; empty if none.
func triggered(wfe *v1alpha1.WorkflowExecution) string {
	c := meta.FindStatusCondition(wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
	if c == nil {
		return ""
	}
	return c.Reason
}
