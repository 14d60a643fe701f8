//go:build integration

package integration_test

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// remediationPolicy is a directory with the built-in policies, but for that of remediations.
func remediationPolicy(decision string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "internal", "policy", "builtin")))).To(Succeed())
	Expect(os.Remove(filepath.Join(dir, "remediation_test.rego"))).To(Succeed())
	text := "package kubernaut.remediation\n\ndecision := " + decision + "\n"
	Expect(os.WriteFile(filepath.Join(dir, "remediation.rego"), []byte(text), 0o600)).To(Succeed())
	return dir
}

// autoscaled lets a HorizontalPodAutoscaler scale a Deployment.
func autoscaled(ctx context.Context, d *appsv1.Deployment) {
	GinkgoHelper()
	Expect(env.Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name}, MaxReplicas: 5,
		},
	})).To(Succeed())
}

// inReview waits until the request waits for a person, and expects the reason of it, and that
// it is on the trail.
func (r *remediated) inReview(ctx context.Context, reason string) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
	Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(reason), r.rr.Status.Message)
	Expect(r.trail(ctx).Of("remediation.manual_review.required")).To(ContainElement(trailtest.WithData("reason", reason)))
}

// approvedBy has a person approve the open proposal by the command.
func (r *remediated) approvedBy(ctx context.Context, who *commandUser) {
	GinkgoHelper()
	code, out := who.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "a spec wants it", "--yes")
	Expect(code).To(Equal(cli.ExitOK), out)
}

// staysValidWhenScaled scales the target while a proposal is open, and has the proposal approved.
func (r *remediated) staysValidWhenScaled(ctx context.Context) {
	GinkgoHelper()
	d := r.target(ctx)
	autoscaled(ctx, d)
	replicas := int32(3)
	d.Spec.Replicas = &replicas
	Expect(env.Update(ctx, d)).To(Succeed())
	Expect(d.Generation).To(BeNumerically(">", r.wfe.Spec.Target.Generation))
	r.approvedBy(ctx, newCommandUser(ctx, approverRules()...))
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
	after := r.target(ctx)
	Expect(after.Generation).To(Equal(d.Generation+1), "one change")
	Expect(*after.Spec.Replicas).To(Equal(replicas))
	Expect(r.trail(ctx).Of("remediation.approval.invalidated")).To(BeEmpty())
}

var _ = Describe("what is proposed about a target that others scale or manage", func() {
	It("is no scaling of what a HorizontalPodAutoscaler scales", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		before := r.target(ctx)
		autoscaled(ctx, before)
		r.propose(ctx, func(wf *v1alpha1.RemediationWorkflow) {
			two := "2"
			wf.Spec.Action = &v1alpha1.WorkflowAction{Scale: &v1alpha1.ScaleAction{MinReplicas: 1, MaxReplicas: 3}}
			wf.Spec.Parameters = []v1alpha1.WorkflowParameter{{Name: "replicas", Type: v1alpha1.ParameterInteger, Default: &two}}
		})
		r.inReview(ctx, v1alpha1.ReasonNoWorkflow)
		Expect(r.rr.Status.Message).To(ContainSubstring("HorizontalPodAutoscaler web"))
		Expect(r.rr.Status.ExecutionRef).To(BeEmpty())
		Expect(r.target(ctx).Generation).To(Equal(before.Generation))
	}, SpecTimeout(specTimeout))

	It("stays valid when a HorizontalPodAutoscaler scales the target before the approval", func(ctx SpecContext) {
		r := proposed(ctx)
		r.staysValidWhenScaled(ctx)
	}, SpecTimeout(specTimeout))

	DescribeTable("is executed although a GitOps tool manages the target if the workflow allows it", func(ctx SpecContext, annotation string) {
		r := remediation(ctx, func(o *app.Options) { o.Mode = "auto" })
		d := r.target(ctx)
		d.Annotations = map[string]string{annotation: "shop"}
		Expect(env.Update(ctx, d)).To(Succeed())
		r.propose(ctx, func(wf *v1alpha1.RemediationWorkflow) { wf.Spec.GitOps = v1alpha1.GitOpsAllow })
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(d.Generation + 1))
		Expect(r.trail(ctx).Of("workflowexecution.execution.completed")).To(HaveLen(1))
	},
		Entry("Argo CD", SpecTimeout(specTimeout), "argocd.argoproj.io/tracking-id"),
		Entry("Flux", SpecTimeout(specTimeout), "kustomize.toolkit.fluxcd.io/name"),
	)
})

var _ = Describe("a request that waits for a person", func() {
	DescribeTable("because the policy's answer cannot be used", func(ctx SpecContext, decision, says string) {
		r := remediation(ctx, func(o *app.Options) { o.PolicyDir = remediationPolicy(decision) })
		before := r.target(ctx).Generation
		r.propose(ctx)
		r.inReview(ctx, v1alpha1.ReasonPolicyError)
		Expect(r.rr.Status.Message).To(ContainSubstring(says))
		Expect(r.rr.Status.ExecutionRef).To(BeEmpty())
		Expect(r.target(ctx).Generation).To(Equal(before))
		Expect(r.trail(ctx).Of("remediation.workflow.selected")).To(ConsistOf(SatisfyAll(trailtest.WithOutcome("failure"), trailtest.WithErrorCode("policy_error"))))
		Expect(env.Create(ctx, command(ctx, r.rr, v1alpha1.CommandClose))).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
	},
		Entry("a workflow that does not apply", SpecTimeout(specTimeout),
			`{"workflow": "reboot", "parameters": {}, "approval": "auto", "reason": "always"}`, `selects workflow "reboot"`),
		Entry("an approval that there is not", SpecTimeout(specTimeout),
			`{"workflow": "restart", "parameters": {}, "approval": "never", "reason": "always"}`, `answers approval "never"`),
		Entry("a parameter that the workflow does not have", SpecTimeout(specTimeout),
			`{"workflow": "restart", "parameters": {"namespace": "kube-system"}, "approval": "auto", "reason": "always"}`, "parameters"),
	)

	It("gets another selection when its severity rises", func(ctx SpecContext) {
		r := remediation(ctx, nil)
		r.propose(ctx, func(wf *v1alpha1.RemediationWorkflow) {
			wf.Spec.AppliesTo.Severities = []v1alpha1.Severity{v1alpha1.SeverityCritical}
		})
		r.inReview(ctx, v1alpha1.ReasonNoWorkflow)
		r.alert["severity"] = "critical"
		r.send(ctx, alertmanager.Firing, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
		Expect(r.rr.Status.SelectedSeverity).To(Equal(v1alpha1.SeverityCritical))
		Expect(meta.IsStatusConditionFalse(r.rr.Status.Conditions, v1alpha1.ConditionManualReview)).To(BeTrue())
		Expect(r.trail(ctx).Of("remediation.approval.requested")).To(HaveLen(1))
	}, SpecTimeout(specTimeout))
})

// mine is an approval of a proposal by the person who runs the specs.
func mine(ctx context.Context, wfe *v1alpha1.WorkflowExecution) *v1alpha1.RemediationApproval {
	GinkgoHelper()
	me := &authenticationv1.SelfSubjectReview{}
	Expect(env.Create(ctx, me)).To(Succeed())
	user := me.Status.UserInfo
	return &v1alpha1.RemediationApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: wfe.Namespace, Name: string(wfe.UID)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: wfe.Name, ExecutionUID: wfe.UID, PlanDigest: wfe.Spec.PlanDigest, Verdict: v1alpha1.VerdictApprove, Reason: "a spec wants it",
			DecidedBy: v1alpha1.Decider{Name: user.Username, UID: user.UID, Groups: user.Groups},
		},
	}
}
