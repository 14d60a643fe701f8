//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// remediated is a request whose execution is over.
type remediated struct {
	*testenv.Pipeline

	alert map[string]string
	began time.Time
	rr    *v1alpha1.RemediationRequest
	wfe   *v1alpha1.WorkflowExecution
	// adjust changes the workflows that are made; nil leaves them as they are.
	adjust func(*v1alpha1.RemediationWorkflow)
}

// remediation starts a pipeline with a WorkflowExecution and an alert that fires in it.
func remediation(ctx context.Context, change func(*workflowexecution.Options)) *remediated {
	GinkgoHelper()
	labels := map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto, "kubernaut.ai/environment": "test"}
	p, err := env.NewPipeline(ctx, testenv.PipelineOptions{Labels: labels, WorkflowExecution: func(o *workflowexecution.Options) {
		if change != nil {
			change(o)
		}
	}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })
	labels = map[string]string{"app": "web"}
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
	}
	Expect(env.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "web"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pod},
	})).To(Succeed())
	Expect(env.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "web-1", Labels: labels}, Spec: pod.Spec})).To(Succeed())
	r := &remediated{Pipeline: p, began: time.Now().UTC(), alert: map[string]string{
		"alertname": "Alert-" + env.CorrelationID(), "namespace": p.Namespace, "pod": "web-1", "severity": "warning",
	}}
	r.rr = requestIn(ctx, r.send(ctx, alertmanager.Firing, r.began).Result)
	Expect(testenv.WaitFor(ctx, env, r.rr, isClassified)).To(Succeed())
	return r
}

func isClassified(rr *v1alpha1.RemediationRequest) bool { return rr.Status.Severity != "" }

// send sends the alert, which began to fire at a time.
func (r *remediated) send(ctx context.Context, status string, began time.Time) alertmanager.Answer {
	GinkgoHelper()
	a := alertmanager.Alert{Status: status, Labels: r.alert, StartsAt: began}
	if status == alertmanager.Resolved {
		a.EndsAt = time.Now().UTC()
	}
	answer := post(ctx, r.GatewayURL, mixedBody(a))
	Expect(answer.Code).To(BeElementOf(http.StatusOK, http.StatusCreated), answer.Message)
	return answer
}

// workflow makes a workflow that applies to a signal.
func (r *remediated) workflow(
	ctx context.Context, signal string, stabilization time.Duration, changes ...func(*v1alpha1.RemediationWorkflow),
) *v1alpha1.RemediationWorkflow {
	GinkgoHelper()
	workflow := restartFor(r.WorkflowsNamespace, signal, stabilization)
	if r.adjust != nil {
		r.adjust(workflow)
	}
	for _, change := range changes {
		change(workflow)
	}
	Expect(env.Create(ctx, workflow)).To(Succeed())
	return workflow
}

// restartFor is a workflow that restarts a Deployment.
func restartFor(namespace, signal string, stabilization time.Duration) *v1alpha1.RemediationWorkflow {
	return &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "restart"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description: "Restarts a Deployment.", ServiceAccountName: "restart", Risk: v1alpha1.RiskLow,
			AppliesTo: v1alpha1.AppliesTo{Signals: []string{signal}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: "apps/v1", Kind: "Deployment"}}},
			Action:    &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}}, Timeout: metav1.Duration{Duration: time.Minute},
			CoolDown: metav1.Duration{Duration: time.Hour}, Stabilization: metav1.Duration{Duration: stabilization},
			Verification: v1alpha1.WorkflowVerification{Condition: "target.metadata.name == before.metadata.name"},
		},
	}
}

// account makes the service account of workflows, with the rights that they need.
func (r *remediated) account(ctx context.Context) {
	GinkgoHelper()
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"get", "patch"}}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("restart-*")}, Rules: rules}
	Expect(env.Create(ctx, role)).To(Succeed())
	DeferCleanup(removed, role)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: r.WorkflowsNamespace, Name: "restart"}},
	}
	Expect(env.Create(ctx, binding)).To(Succeed())
	DeferCleanup(removed, binding)
	Expect(env.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.WorkflowsNamespace, Name: "restart"}})).To(Succeed())
}

// propose makes a workflow that applies to the alert, with the rights that it needs, and sends
// another alert about the Deployment.
func (r *remediated) propose(ctx context.Context, changes ...func(*v1alpha1.RemediationWorkflow)) {
	GinkgoHelper()
	r.account(ctx)
	r.alerted(ctx, changes...)
}

// alerted is propose for workflows whose account exists.
func (r *remediated) alerted(ctx context.Context, changes ...func(*v1alpha1.RemediationWorkflow)) {
	GinkgoHelper()
	signal := "Alert-" + env.CorrelationID()
	workflow := r.workflow(ctx, signal, 0, changes...)
	Expect(testenv.WaitFor(ctx, env, workflow, isValid)).To(Succeed())
	r.alert = map[string]string{"alertname": signal, "namespace": r.Namespace, "deployment": "web", "severity": "warning"}
	r.began = time.Now().UTC()
	r.rr = requestIn(ctx, r.send(ctx, alertmanager.Firing, r.began).Result)
}

func isValid(wf *v1alpha1.RemediationWorkflow) bool {
	return meta.IsStatusConditionTrue(wf.Status.Conditions, v1alpha1.ConditionValid)
}

// execution makes a workflow, and an execution of it in a phase.
func (r *remediated) execution(ctx context.Context, stabilization time.Duration, status v1alpha1.WorkflowExecutionStatus) {
	GinkgoHelper()
	workflow := r.workflow(ctx, "Nothing", stabilization)
	digest, err := workflowexecution.WorkflowDigest(&workflow.Spec)
	Expect(err).NotTo(HaveOccurred())
	target := &appsv1.Deployment{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: "web"}, target)).To(Succeed())
	yes := true
	r.wfe = &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: r.rr.Name + "-1", Labels: map[string]string{v1alpha1.LabelRequest: r.rr.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "RemediationRequest", Name: r.rr.Name, UID: r.rr.UID, Controller: &yes,
			}},
		},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request: v1alpha1.ObjectRef{Name: r.rr.Name, UID: r.rr.UID},
			Target: v1alpha1.ExecutionTarget{
				APIVersion: "apps/v1", Kind: "Deployment", Namespace: r.Namespace, Name: "web", UID: target.UID, Generation: target.Generation,
			},
			Workflow: v1alpha1.WorkflowRef{Name: workflow.Name, SHA256: digest, Risk: v1alpha1.RiskLow},
			Reason:   "the alert asks for it", Approval: v1alpha1.ApprovalRequired, ApprovalReason: "a person decides", Change: "none",
			PlanDigest: strings.Repeat("0", 64), ExpiresAt: metav1.NewMicroTime(time.Now().Add(time.Hour)),
		},
	}
	Expect(env.Create(ctx, r.wfe)).To(Succeed())
	before := r.wfe.DeepCopy()
	r.wfe.Status = status
	Expect(env.Status().Patch(ctx, r.wfe, client.MergeFrom(before), client.FieldOwner("testenv"))).To(Succeed())
}

// over makes an execution that is over now, and shows it in the request.
func (r *remediated) over(ctx context.Context, stabilization time.Duration) {
	GinkgoHelper()
	now := metav1.NowMicro()
	r.execution(ctx, stabilization, v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionVerifying, StartedAt: &now, FinishedAt: &now})
	change(ctx, r.rr, func(s *v1alpha1.RemediationRequestStatus) {
		s.Phase, s.ExecutionRef, s.RemediatedAt = v1alpha1.RemediationVerifying, r.wfe.Name, &now
	})
}

// expectOutcome waits for the outcome of the execution, and expects its events.
func (r *remediated) expectOutcome(ctx context.Context, outcome v1alpha1.Outcome, ended string) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Outcome != "" })).To(Succeed())
	Expect(r.wfe.Status.Outcome).To(Equal(outcome), r.wfe.Status.Message)
	Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionSucceeded))
	trail := r.trail(ctx)
	Expect(trail.Of("remediation.verification.started")).To(HaveLen(1))
	Expect(trail.Of(ended)).To(ConsistOf(trailtest.WithData("result", outcome)))
}

// leftAlone expects that the request waits for a person, and that nobody changes the target.
func (r *remediated) leftAlone(ctx context.Context, reason string) {
	GinkgoHelper()
	r.inReview(ctx, reason)
	Expect(r.target(ctx).Generation).To(Equal(r.wfe.Spec.Target.Generation))
}

func (r *remediated) trail(ctx context.Context) testenv.Trail {
	GinkgoHelper()
	trail, err := r.AuditTrail(ctx, r.rr.Name)
	Expect(err).NotTo(HaveOccurred())
	return trail
}

// resolving waits until the verification has seen that the alert is resolved.
func (r *remediated) resolving(ctx context.Context) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool {
		return wfe.Status.Verification != nil && wfe.Status.Verification.ResolvedAt != nil
	})).To(Succeed())
}

var _ = Describe("the verification of a remediation", func() {
	It("ends with Effective when the alert resolves and nothing fires during the stabilization", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		r.over(ctx, time.Second)
		r.send(ctx, alertmanager.Firing, r.began) // a repeat changes nothing
		r.send(ctx, alertmanager.Resolved, r.began)
		r.expectOutcome(ctx, v1alpha1.OutcomeEffective, "remediation.verification.passed")
		verification := r.wfe.Status.Verification
		Expect(verification.StableAt.Sub(verification.ResolvedAt.Time)).To(Equal(time.Second))
		Expect(verification.FinishedAt.Before(verification.StableAt)).To(BeFalse())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonEffective))
		Expect(r.trail(ctx).Of("remediation.request.completed")).To(ConsistOf(trailtest.WithData("execution", r.wfe.Name)))

		By("opening another request for what begins to fire later, also during the cool-down")
		Expect(r.send(ctx, alertmanager.Firing, r.began).RemediationRequestName).To(Equal(r.rr.Name), "a late repeat is absorbed")
		Expect(r.send(ctx, alertmanager.Firing, time.Now().UTC()).RemediationRequestName).NotTo(Equal(r.rr.Name))
	}, SpecTimeout(specTimeout))

	It("ends with Effective although a sender that says no start repeats the alert", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		var unsaid time.Time
		r.alert["alertname"] = "Alert-" + env.CorrelationID()
		r.rr = requestIn(ctx, r.send(ctx, alertmanager.Firing, unsaid).Result)
		Expect(testenv.WaitFor(ctx, env, r.rr, isClassified)).To(Succeed())
		r.over(ctx, time.Second)
		Expect(r.send(ctx, alertmanager.Firing, unsaid).RemediationRequestName).To(Equal(r.rr.Name))
		r.send(ctx, alertmanager.Resolved, unsaid)
		r.expectOutcome(ctx, v1alpha1.OutcomeEffective, "remediation.verification.passed")
	}, SpecTimeout(specTimeout))

	It("ends with Ineffective when an alert without a start fires again after it resolved", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		var unsaid time.Time
		r.over(ctx, time.Hour)
		r.send(ctx, alertmanager.Resolved, unsaid)
		r.resolving(ctx)
		r.send(ctx, alertmanager.Firing, unsaid)
		r.expectOutcome(ctx, v1alpha1.OutcomeIneffective, "remediation.verification.failed")
	}, SpecTimeout(specTimeout))

	It("ends with Ineffective when the alert begins to fire again during the stabilization", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		r.over(ctx, time.Hour)
		r.send(ctx, alertmanager.Resolved, r.began)
		r.resolving(ctx)
		r.send(ctx, alertmanager.Firing, time.Now().UTC())
		r.expectOutcome(ctx, v1alpha1.OutcomeIneffective, "remediation.verification.failed")
		r.leftAlone(ctx, v1alpha1.ReasonIneffective)
	}, SpecTimeout(specTimeout))

	It("ends with Inconclusive when the alert neither resolves nor is repeated", func(ctx SpecContext) {
		r := remediation(ctx, soon)
		r.over(ctx, time.Second)
		r.expectOutcome(ctx, v1alpha1.OutcomeInconclusive, "remediation.verification.failed")
		r.leftAlone(ctx, v1alpha1.ReasonInconclusive)
	}, SpecTimeout(specTimeout))

	It("ends with Ineffective when the alert is repeated instead of resolved", func(ctx SpecContext) {
		r := remediation(ctx, soon)
		r.over(ctx, time.Second)
		r.send(ctx, alertmanager.Firing, r.began)
		r.expectOutcome(ctx, v1alpha1.OutcomeIneffective, "remediation.verification.failed")
		r.leftAlone(ctx, v1alpha1.ReasonIneffective)
	}, SpecTimeout(specTimeout))
})

// soon makes a verification wait for two seconds.
func soon(o *workflowexecution.Options) {
	o.GroupInterval, o.ResolveTimeout = time.Second, 2*time.Second
}

var _ = Describe("a request whose alert resolves before an execution", func() {
	It("is skipped, and its proposal is invalidated first", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
		r.send(ctx, alertmanager.Resolved, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationSkipped))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonResolvedBeforeExecution))
		proposal := &v1alpha1.WorkflowExecution{}
		Expect(env.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.rr.Status.ExecutionRef}, proposal)).To(Succeed())
		Expect(proposal.Status.Phase).To(Equal(v1alpha1.ExecutionInvalidated))
		trail := r.trail(ctx)
		Expect(trail.Of("remediation.approval.invalidated")).To(HaveLen(1))
		Expect(trail.Of("remediation.request.skipped")).To(ConsistOf(trailtest.WithData("reason", v1alpha1.ReasonResolvedBeforeExecution)))
		Expect(trail.Of(requestSkipped)).To(BeEmpty(), "SignalProcessing leaves it to WorkflowExecution")
	}, SpecTimeout(specTimeout))

	It("is skipped as stale when its alert is not repeated for long enough", func(ctx SpecContext) {
		r := remediation(ctx, func(o *workflowexecution.Options) { o.StaleAfter = time.Second })
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationSkipped))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonStale))
		Expect(r.trail(ctx).Of("remediation.request.skipped")).To(ConsistOf(trailtest.WithData("reason", v1alpha1.ReasonStale)))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("an alert that a policy may have remediated", func() {
	It("is executed, verified and completed, and its trail tells all of it", func(ctx SpecContext) {
		r := remediation(ctx, func(o *workflowexecution.Options) { o.Mode = "auto" })
		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		r.send(ctx, alertmanager.Resolved, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonEffective))
		trail := r.trail(ctx)
		for _, one := range []string{
			"remediation.workflow.selected", "remediation.approval.requested", "remediation.approval.approved",
			"workflowexecution.execution.started", "workflowexecution.execution.completed",
			"remediation.verification.started", "remediation.verification.passed", "remediation.request.completed",
		} {
			Expect(trail.Of(one)).To(HaveLen(1), one)
		}
		Expect(trail).To(testenv.HaveSteps(testenv.Steps), "the processing of the signal comes first")
		Expect(trail.Of("remediation.manual_review.required")).To(BeEmpty(), "nobody was needed")
	}, SpecTimeout(specTimeout))
})
