package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

var began = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(after time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(began.Add(after))
	return &t
}

// execution is an execution of the workflow "restart", proposed at began.
func execution(name string, status v1alpha1.WorkflowExecutionStatus) *v1alpha1.WorkflowExecution {
	return &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(began)},
		Spec:       v1alpha1.WorkflowExecutionSpec{Workflow: v1alpha1.WorkflowRef{Name: "restart"}, Approval: v1alpha1.ApprovalRequired},
		Status:     status,
	}
}

func newMetrics(t *testing.T) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}

func expect(t *testing.T, g prometheus.Gatherer, name, want string) {
	t.Helper()
	if err := testutil.GatherAndCompare(g, strings.NewReader(want), name); err != nil {
		t.Error(err)
	}
}

// workflow is a workflow that the catalog has looked at, with conditions.
func workflow(name string, generation int64, conditions ...metav1.Condition) *v1alpha1.RemediationWorkflow {
	return &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kubernaut-workflows", Name: name, Generation: generation},
		Status:     v1alpha1.RemediationWorkflowStatus{Conditions: conditions},
	}
}

func TestTheResultsOfAKnownWorkflowBeginAtZero(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	m.Workflow("restart")
	after := execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionFailed})
	m.Changed(execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionExecuting}), after)
	m.Workflow("restart")
	expect(t, registry, "workflowexecution_executions_total", `
# HELP workflowexecution_executions_total Executions that ended, by workflow and result (an outcome, Failed, Rejected, Expired or Invalidated).
# TYPE workflowexecution_executions_total counter
workflowexecution_executions_total{result="Effective",workflow="restart"} 0
workflowexecution_executions_total{result="Expired",workflow="restart"} 0
workflowexecution_executions_total{result="Failed",workflow="restart"} 1
workflowexecution_executions_total{result="Inconclusive",workflow="restart"} 0
workflowexecution_executions_total{result="Ineffective",workflow="restart"} 0
workflowexecution_executions_total{result="Invalidated",workflow="restart"} 0
workflowexecution_executions_total{result="Rejected",workflow="restart"} 0
`)
}

func TestEveryEndIsCountedOnce(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	type status = v1alpha1.WorkflowExecutionStatus
	for _, end := range []struct {
		was v1alpha1.ExecutionPhase
		is  status
	}{
		{v1alpha1.ExecutionVerifying, status{Phase: v1alpha1.ExecutionSucceeded, Outcome: v1alpha1.OutcomeEffective}},
		{v1alpha1.ExecutionVerifying, status{Phase: v1alpha1.ExecutionSucceeded, Outcome: v1alpha1.OutcomeIneffective}},
		{v1alpha1.ExecutionExecuting, status{Phase: v1alpha1.ExecutionFailed}},
		{v1alpha1.ExecutionExecuting, status{Phase: v1alpha1.ExecutionFailed, Outcome: v1alpha1.OutcomeInconclusive}},
		{v1alpha1.ExecutionProposed, status{Phase: v1alpha1.ExecutionRejected}},
		{v1alpha1.ExecutionProposed, status{Phase: v1alpha1.ExecutionExpired}},
		{v1alpha1.ExecutionApproved, status{Phase: v1alpha1.ExecutionInvalidated}},
	} {
		before, after := execution("rr-1", status{Phase: end.was}), execution("rr-1", end.is)
		m.Changed(before, after)
		m.Changed(after, after)
	}
	expect(t, registry, "workflowexecution_executions_total", `
# HELP workflowexecution_executions_total Executions that ended, by workflow and result (an outcome, Failed, Rejected, Expired or Invalidated).
# TYPE workflowexecution_executions_total counter
workflowexecution_executions_total{result="Effective",workflow="restart"} 1
workflowexecution_executions_total{result="Expired",workflow="restart"} 1
workflowexecution_executions_total{result="Failed",workflow="restart"} 1
workflowexecution_executions_total{result="Inconclusive",workflow="restart"} 1
workflowexecution_executions_total{result="Ineffective",workflow="restart"} 1
workflowexecution_executions_total{result="Invalidated",workflow="restart"} 1
workflowexecution_executions_total{result="Rejected",workflow="restart"} 1
`)
	expect(t, registry, "workflowexecution_verifications_total", `
# HELP workflowexecution_verifications_total Verifications that ended, by outcome.
# TYPE workflowexecution_verifications_total counter
workflowexecution_verifications_total{outcome="Effective"} 1
workflowexecution_verifications_total{outcome="Inconclusive"} 0
workflowexecution_verifications_total{outcome="Ineffective"} 1
`)
}

func TestAGuardRailAndABusyTargetAreCountedWhenTheyBegin(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	held := func(rail string) *v1alpha1.WorkflowExecution {
		return execution("rr-1", v1alpha1.WorkflowExecutionStatus{
			Phase: v1alpha1.ExecutionApproved, Reason: v1alpha1.ReasonGuardRail,
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionGuardRail, Status: metav1.ConditionTrue, Reason: rail}},
		})
	}
	free := execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionApproved})
	busy := execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionApproved, Reason: v1alpha1.ReasonTargetBusy})
	for _, step := range [][2]*v1alpha1.WorkflowExecution{
		{free, held("CoolDown")},
		{held("CoolDown"), held("CoolDown")},
		{held("CoolDown"), held("ClusterMaximum")},
		{held("ClusterMaximum"), free},
		{free, busy},
		{busy, busy},
	} {
		m.Changed(step[0], step[1])
	}
	expect(t, registry, "workflowexecution_guard_rails_triggered_total", `
# HELP workflowexecution_guard_rails_triggered_total Executions that a guard rail began to hold back, or to require a person for, by guard rail.
# TYPE workflowexecution_guard_rails_triggered_total counter
workflowexecution_guard_rails_triggered_total{rail="ClusterMaximum"} 1
workflowexecution_guard_rails_triggered_total{rail="CoolDown"} 1
workflowexecution_guard_rails_triggered_total{rail="Ineffective"} 0
workflowexecution_guard_rails_triggered_total{rail="NamespaceMaximum"} 0
`)
	expect(t, registry, "workflowexecution_lease_contention_total", `
# HELP workflowexecution_lease_contention_total Executions that began to wait because another one works below the same top owner.
# TYPE workflowexecution_lease_contention_total counter
workflowexecution_lease_contention_total 1
`)
}

func TestDecisionsAndExecutionsAreTimed(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	approved := execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionApproved, Approval: &v1alpha1.ExecutionApproval{At: *at(2 * time.Second)}})
	rejected := execution("rr-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionRejected, Approval: &v1alpha1.ExecutionApproval{
		At: *at(8 * time.Second), By: []v1alpha1.Decider{{Name: "ada"}},
	}})
	executing := approved.DeepCopy()
	executing.Status.Phase, executing.Status.StartedAt = v1alpha1.ExecutionExecuting, at(3*time.Second)
	verifying := executing.DeepCopy()
	verifying.Status.Phase, verifying.Status.FinishedAt = v1alpha1.ExecutionVerifying, at(7*time.Second)
	proposed := execution("rr-1", v1alpha1.WorkflowExecutionStatus{})
	for _, step := range [][2]*v1alpha1.WorkflowExecution{{proposed, approved}, {proposed, rejected}, {approved, executing}, {executing, verifying}} {
		m.Changed(step[0], step[1])
	}
	sums := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if h := metric.GetHistogram(); h.GetSampleCount() > 0 {
				key := family.GetName()
				for _, label := range metric.GetLabel() {
					key += " " + label.GetValue()
				}
				sums[key] = h.GetSampleSum()
			}
		}
	}
	for key, want := range map[string]float64{
		"workflowexecution_approval_wait_seconds policy Approved": 2,
		"workflowexecution_approval_wait_seconds person Rejected": 8,
		"workflowexecution_execution_duration_seconds restart":    4,
		"workflowexecution_proposal_delay_seconds":                0,
	} {
		if sums[key] != want {
			t.Errorf("%s: %v seconds, want %v", key, sums[key], want)
		}
	}
}

func TestWhatWaitsIsShownByAgeAndReason(t *testing.T) {
	t.Parallel()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	unapprovable := execution("rr-3-1", v1alpha1.WorkflowExecutionStatus{})
	unapprovable.Spec.Approval = v1alpha1.ApprovalNone
	young := execution("rr-2-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionProposed})
	young.CreationTimestamp = metav1.NewTime(began.Add(15 * time.Minute))
	objects := []client.Object{
		execution("rr-1-1", v1alpha1.WorkflowExecutionStatus{}), young, unapprovable,
		execution("rr-4-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionApproved, Reason: v1alpha1.ReasonPaused}),
		execution("rr-5-1", v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionExecuting, Reason: v1alpha1.ReasonPaused}),
		workflow("restart", 3, metav1.Condition{Type: v1alpha1.ConditionValid, Status: metav1.ConditionTrue, ObservedGeneration: 3}),
		workflow("scale", 2, metav1.Condition{Type: v1alpha1.ConditionValid, Status: metav1.ConditionFalse, ObservedGeneration: 2}),
		workflow("changed", 2, metav1.Condition{Type: v1alpha1.ConditionValid, Status: metav1.ConditionFalse, ObservedGeneration: 1}),
		workflow("new", 1),
		&v1alpha1.PauseSwitch{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName}, Spec: v1alpha1.PauseSwitchSpec{Paused: true}},
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	registry := prometheus.NewRegistry()
	if err := registry.Register(metrics.NewWaiting(c, clocktesting.NewFakePassiveClock(began.Add(20*time.Minute)))); err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP workflowexecution_oldest_proposal_age_seconds Age of the oldest proposal that waits for a decision; 0 if none does.
# TYPE workflowexecution_oldest_proposal_age_seconds gauge
workflowexecution_oldest_proposal_age_seconds 1200
# HELP workflowexecution_open_proposals Proposals that wait for a decision and are at least this many seconds old.
# TYPE workflowexecution_open_proposals gauge
workflowexecution_open_proposals{age_seconds="0"} 2
workflowexecution_open_proposals{age_seconds="1800"} 0
workflowexecution_open_proposals{age_seconds="300"} 2
workflowexecution_open_proposals{age_seconds="3600"} 0
workflowexecution_open_proposals{age_seconds="900"} 1
# HELP workflowexecution_paused 1 while the cluster's PauseSwitch keeps executions from starting.
# TYPE workflowexecution_paused gauge
workflowexecution_paused 1
# HELP workflowexecution_waiting_executions Approved executions that are kept from starting, by reason.
# TYPE workflowexecution_waiting_executions gauge
workflowexecution_waiting_executions{reason="GuardRail"} 0
workflowexecution_waiting_executions{reason="Paused"} 1
workflowexecution_waiting_executions{reason="TargetBusy"} 0
workflowexecution_waiting_executions{reason="TrailUnavailable"} 0
# HELP workflowexecution_workflow_valid 1 if a workflow can be selected, 0 if it is wrong, by workflow.
# TYPE workflowexecution_workflow_valid gauge
workflowexecution_workflow_valid{workflow="restart"} 1
workflowexecution_workflow_valid{workflow="scale"} 0
`)); err != nil {
		t.Error(err)
	}
}
