//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail/trailtest"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// proposed is a remediation whose proposal waits for the decision of a person.
func proposed(ctx context.Context) *remediated {
	GinkgoHelper()
	return proposedBy(ctx, nil, nil)
}

// proposedBy is the same by a service with other options, of another workflow.
func proposedBy(ctx context.Context, options func(*workflowexecution.Options), workflow func(*v1alpha1.RemediationWorkflow)) *remediated {
	GinkgoHelper()
	r := remediation(ctx, options)
	r.adjust = workflow
	r.propose(ctx)
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	r.wfe = &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.rr.Status.ExecutionRef}}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(r.wfe), r.wfe)).To(Succeed())
	Expect(r.wfe.Spec.Admission).NotTo(BeEmpty(), "a decision counts from the beginning")
	Expect(r.wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired))
	return r
}

// target reads the Deployment that the remediation is about.
func (r *remediated) target(ctx context.Context) *appsv1.Deployment {
	GinkgoHelper()
	found := &appsv1.Deployment{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: "web"}, found)).To(Succeed())
	return found
}

// decisionOn is an approval of the proposal in a person's name.
func (r *remediated) decisionOn(by string, groups ...string) *v1alpha1.RemediationApproval {
	return &v1alpha1.RemediationApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: string(r.wfe.UID)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: r.wfe.Name, ExecutionUID: r.wfe.UID, PlanDigest: r.wfe.Spec.PlanDigest, Verdict: v1alpha1.VerdictApprove,
			Reason: "a spec wants it", DecidedBy: v1alpha1.Decider{Name: by, Groups: groups},
		},
	}
}

var _ = Describe("an alert that a person may have remediated", func() {
	It("is approved, executed, verified and completed, and its trail tells all of it", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "seen before", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		after := r.target(ctx)
		Expect(after.Generation).To(Equal(before.Generation + 1))
		Expect(after.Spec.Template.Annotations).To(HaveLen(len(before.Spec.Template.Annotations) + 1))

		r.send(ctx, alertmanager.Resolved, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonEffective))
		Expect(env.Get(ctx, client.ObjectKeyFromObject(r.wfe), r.wfe)).To(Succeed())
		Expect(r.wfe.Status.Approval.By).To(ConsistOf(HaveField("Name", ada.name)))
		Expect(r.target(ctx).Generation).To(Equal(after.Generation), "the target is changed once")
		trail := r.trail(ctx)
		for _, one := range []string{
			"remediation.workflow.selected", "remediation.approval.requested", "remediation.approval.approved",
			"workflowexecution.execution.started", "workflowexecution.execution.completed",
			"remediation.verification.started", "remediation.verification.passed", "remediation.request.completed",
		} {
			Expect(trail.Of(one)).To(HaveLen(1), one)
		}
		Expect(trail.Of("remediation.approval.approved")).To(ConsistOf(trailtest.WithData("plan_digest", r.wfe.Spec.PlanDigest)))
	}, SpecTimeout(specTimeout))

	It("is left alone when the approval is forged or of another plan", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		hers, err := client.New(ada.config, client.Options{Scheme: env.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		Expect(hers.Create(ctx, r.decisionOn("grace@example.org", "oncall", "system:authenticated"))).To(MatchError(SatisfyAll(
			ContainSubstring(admission.Approvals), ContainSubstring(admission.NameRule))))
		other := r.decisionOn(ada.name, "oncall", "system:authenticated")
		other.Spec.PlanDigest = r.wfe.Spec.Workflow.SHA256
		Expect(hers.Create(ctx, other)).To(MatchError(ContainSubstring(admission.Decisions)))
		Expect(approvalsIn(ctx, r.Namespace)).To(BeEmpty())
		Expect(r.target(ctx).Generation).To(Equal(before))
	}, SpecTimeout(specTimeout))

	It("is left alone when the person rejects it, and waits for a person", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "reject", r.rr.Name, "-n", r.Namespace, "--reason", "not now", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		Expect(env.Get(ctx, client.ObjectKeyFromObject(r.wfe), r.wfe)).To(Succeed())
		Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionRejected))
		Expect(r.target(ctx).Generation).To(Equal(before))
		trail := r.trail(ctx)
		Expect(trail.Of("remediation.approval.rejected")).To(HaveLen(1))
		Expect(trail.Of("workflowexecution.execution.started")).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})
