//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// ineffective is a remediation whose execution did not help, so that the workflow's rollback is
// proposed. It returns the name of that execution.
func ineffective(ctx context.Context) (r *remediated, first string) {
	GinkgoHelper()
	r = remediation(ctx, func(o *app.Options) {
		soon(o)
		o.Mode = "auto"
	})
	r.account(ctx)
	undo := r.workflow(ctx, "*", 0, func(wf *v1alpha1.RemediationWorkflow) { wf.Name, wf.Spec.Risk = "undo", v1alpha1.RiskMedium })
	Expect(testenv.WaitFor(ctx, env, undo, isValid)).To(Succeed())
	r.alerted(ctx, func(wf *v1alpha1.RemediationWorkflow) { wf.Spec.Rollback = undo.Name })
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
	first = r.rr.Status.ExecutionRef
	r.send(ctx, alertmanager.Firing, r.began)
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	r.wfe = &v1alpha1.WorkflowExecution{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.rr.Status.ExecutionRef}, r.wfe)).To(Succeed())
	Expect(r.wfe.Spec.RollbackOf).To(Equal(first))
	return r, first
}

var _ = Describe("an execution that does not help", func() {
	It("is answered with a proposal of its workflow's rollback, on which a person decides", func(ctx SpecContext) {
		r, first := ineffective(ctx)
		changed := r.target(ctx).Generation
		Expect(r.wfe.Spec.Workflow.Name).To(Equal("undo"))
		Expect(r.wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired), "also in mode auto")
		Expect(changed).To(Equal(r.wfe.Spec.Target.Generation), "nothing happens without the approval")
		trail := r.trail(ctx)
		Expect(trail.Of("workflowexecution.execution.started")).To(HaveLen(1))
		Expect(trail.Of("remediation.verification.failed")).To(ConsistOf(trailtest.WithData("rollback", "undo")))
		Expect(trail.Of("remediation.workflow.selected")).To(ContainElement(trailtest.WithData("rollback_of", first)))
		Expect(trail.Of("remediation.approval.requested")).To(HaveLen(2))

		r.approvedBy(ctx, newCommandUser(ctx, approverRules()...))
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(changed+1), "one change")
		Expect(r.rr.Status.ExecutionRef).To(Equal(r.wfe.Name))
	}, SpecTimeout(specTimeout))

	It("is answered with a rollback that stays valid when a HorizontalPodAutoscaler scales the target", func(ctx SpecContext) {
		r, _ := ineffective(ctx)
		r.staysValidWhenScaled(ctx)
	}, SpecTimeout(specTimeout))

	It("is not answered a second time when the rollback does not help", func(ctx SpecContext) {
		r, _ := ineffective(ctx)
		r.approvedBy(ctx, newCommandUser(ctx, approverRules()...))
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		changed := r.target(ctx).Generation
		r.send(ctx, alertmanager.Firing, r.began)
		r.inReview(ctx, v1alpha1.ReasonIneffective)
		Expect(r.rr.Status.ExecutionRef).To(Equal(r.wfe.Name))
		Expect(r.target(ctx).Generation).To(Equal(changed))
		Expect(r.trail(ctx).Of("remediation.approval.requested")).To(HaveLen(2))
	}, SpecTimeout(specTimeout))
})
