//go:build integration

package integration_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// startedBefore makes an execution of a workflow on the target that has just ended.
func (r *remediated) startedBefore(ctx context.Context, workflow string) {
	GinkgoHelper()
	target := r.target(ctx)
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: "earlier-" + workflow},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request: v1alpha1.ObjectRef{Name: r.rr.Name, UID: r.rr.UID},
			Target: v1alpha1.ExecutionTarget{
				APIVersion: "apps/v1", Kind: "Deployment", Namespace: r.Namespace, Name: target.Name, UID: target.UID, Generation: target.Generation,
			},
			Workflow: v1alpha1.WorkflowRef{Name: workflow, SHA256: strings.Repeat("0", 64), Risk: v1alpha1.RiskLow},
			Reason:   "a spec wants it", Approval: v1alpha1.ApprovalRequired, ApprovalReason: "a person decides", Change: "none",
			PlanDigest: strings.Repeat("0", 64), ExpiresAt: metav1.NewMicroTime(time.Now().Add(time.Hour)),
		},
	}
	Expect(env.Create(ctx, wfe)).To(Succeed())
	before, now := wfe.DeepCopy(), metav1.NowMicro()
	wfe.Status = v1alpha1.WorkflowExecutionStatus{
		Phase: v1alpha1.ExecutionSucceeded, Outcome: v1alpha1.OutcomeEffective, StartedAt: &now, FinishedAt: &now,
	}
	Expect(env.Status().Patch(ctx, wfe, client.MergeFrom(before), client.FieldOwner("testenv"))).To(Succeed())
}

// held waits until a guard rail is shown by the request, and expects it of the execution and
// on the trail.
func (r *remediated) held(ctx context.Context, rail string) {
	GinkgoHelper()
	shown := func(conditions []metav1.Condition) bool {
		is := meta.FindStatusCondition(conditions, v1alpha1.ConditionGuardRail)
		return is != nil && is.Status == metav1.ConditionTrue && is.Reason == rail
	}
	Expect(testenv.WaitFor(ctx, env, r.rr, func(rr *v1alpha1.RemediationRequest) bool { return shown(rr.Status.Conditions) })).To(Succeed())
	r.wfe = &v1alpha1.WorkflowExecution{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.rr.Status.ExecutionRef}, r.wfe)).To(Succeed())
	Expect(shown(r.wfe.Status.Conditions)).To(BeTrue(), "the execution shows it, too")
	Expect(r.trail(ctx).Of("remediation.guardrail.triggered")).To(ConsistOf(SatisfyAll(
		trailtest.WithData("rail", rail), trailtest.WithData("execution", r.wfe.Name))))
}

var _ = Describe("the guard rails of remediations", func() {
	DescribeTable("hold back an approved execution", func(ctx SpecContext, rail, earlier string, change func(*app.Options)) {
		r := remediation(ctx, func(o *app.Options) {
			o.Mode = "auto"
			change(o)
		})
		generation := r.target(ctx).Generation
		r.startedBefore(ctx, earlier)
		r.propose(ctx)
		r.held(ctx, rail)
		Expect(r.rr.Status.Phase).To(Equal(v1alpha1.RemediationApproved))
		Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionApproved))
		Expect(r.wfe.Status.Reason).To(Equal(v1alpha1.ReasonGuardRail))
		Expect(r.target(ctx).Generation).To(Equal(generation))
		Expect(r.trail(ctx).Of("workflowexecution.execution.started")).To(BeEmpty())
	},
		Entry("while the workflow cools down on the target", SpecTimeout(specTimeout), v1alpha1.RailCoolDown, "restart", func(*app.Options) {}),
		Entry("after the maximum of the namespace", SpecTimeout(specTimeout), v1alpha1.RailNamespaceMaximum, "another", func(o *app.Options) { o.MaxPerNamespace = 1 }),
		Entry("after the maximum of the cluster", SpecTimeout(specTimeout), v1alpha1.RailClusterMaximum, "another", func(o *app.Options) { o.MaxPerCluster = 1 }),
	)

	It("let a person decide after an execution that did not help, although the policy approves", func(ctx SpecContext) {
		r := remediation(ctx, func(o *app.Options) {
			soon(o)
			o.Mode, o.MaxIneffective = "auto", 1
		})
		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		r.send(ctx, alertmanager.Firing, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(v1alpha1.ReasonIneffective))
		generation := r.target(ctx).Generation
		Expect(env.Create(ctx, command(ctx, r.rr, v1alpha1.CommandRetry))).To(Succeed())
		r.held(ctx, v1alpha1.RailIneffective)
		Expect(r.rr.Status.Phase).To(Equal(v1alpha1.RemediationAwaitingApproval))
		Expect(r.wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired))
		Expect(r.wfe.Spec.GuardRail).To(Equal(v1alpha1.RailIneffective))
		Expect(r.target(ctx).Generation).To(Equal(generation))
		Expect(r.trail(ctx).Of("remediation.approval.requested")).To(ContainElement(SatisfyAll(
			trailtest.WithData("execution", r.wfe.Name), trailtest.WithData("approval", "required"))))
	}, SpecTimeout(specTimeout))
})
