//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

// policyNamed refers to the admission policy with a name, bindingNamed to its binding.
func policyNamed(name string) *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func bindingNamed(name string) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// deleted deletes an object of the cluster.
func deleted(object client.Object) func(context.Context) {
	return func(ctx context.Context) {
		GinkgoHelper()
		Expect(env.Delete(ctx, object)).To(Succeed())
	}
}

// onlyAudited makes a binding write to the audit log of the API server instead of refusing.
func onlyAudited(name string) func(context.Context) {
	return func(ctx context.Context) {
		GinkgoHelper()
		binding := bindingNamed(name)
		Expect(env.Get(ctx, client.ObjectKeyFromObject(binding), binding)).To(Succeed())
		binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
		Expect(env.Update(ctx, binding)).To(Succeed())
	}
}

// changed changes an admission policy.
func changed(name string, how func(*admissionv1.ValidatingAdmissionPolicySpec)) func(context.Context) {
	return func(ctx context.Context) {
		GinkgoHelper()
		policy := policyNamed(name)
		Expect(env.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		how(&policy.Spec)
		Expect(env.Update(ctx, policy)).To(Succeed())
	}
}

// restored installs the admission policies that ship.
func restored(ctx context.Context) {
	GinkgoHelper()
	Expect(controlplane.InstallPolicies(ctx, env.Config)).To(Succeed())
}

// decides creates the decision of a person in the person's own name.
func (u *commandUser) decides(ctx context.Context, r *remediated, verdict v1alpha1.Verdict) error {
	GinkgoHelper()
	hers, err := client.New(u.config, client.Options{Scheme: env.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	decision := r.decisionOn(u.name, "oncall", "system:authenticated")
	decision.Spec.Verdict = verdict
	return hers.Create(ctx, decision)
}

// reads reads the execution that the request refers to.
func (r *remediated) reads(ctx context.Context) {
	GinkgoHelper()
	r.wfe = &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.rr.Status.ExecutionRef}}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(r.wfe), r.wfe)).To(Succeed())
}

// expectUntouched expects that the request waits for a person for a reason, after its
// execution ended in a phase, and that the target is what it was.
func (r *remediated) expectUntouched(ctx context.Context, generation int64, phase v1alpha1.ExecutionPhase, reason string) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
	Expect(meta.FindStatusCondition(r.rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(reason))
	r.reads(ctx)
	Expect(r.wfe.Status.Phase).To(Equal(phase), r.wfe.Status.Message)
	Expect(r.target(ctx).Generation).To(Equal(generation))
	trail := r.trail(ctx)
	Expect(trail.Of("remediation.approval.approved")).To(BeEmpty())
	Expect(trail.Of("workflowexecution.execution.started")).To(BeEmpty())
}

// retried waits for the next proposal after a person asked for it.
func (r *remediated) retried(ctx context.Context) {
	GinkgoHelper()
	Expect(env.Create(ctx, command(ctx, r.rr, v1alpha1.CommandRetry))).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	former := r.wfe.Name
	r.reads(ctx)
	Expect(r.wfe.Name).NotTo(Equal(former))
}

// The policies are the cluster's: no other spec may run.
var _ = Describe("a proposal whose decisions the API server does not protect", Serial, func() {
	DescribeTable("is invalidated, and nothing is changed", func(ctx SpecContext, damage func(context.Context), says string) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		DeferCleanup(restored)
		damage(ctx)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionInvalidated, v1alpha1.ReasonProposalInvalidated)
		Expect(r.wfe.Status.Message).To(ContainSubstring(says))
		Expect(r.trail(ctx).Of("remediation.approval.invalidated")).To(ConsistOf(trailtest.WithData("reason", "AdmissionPolicy")))
	},
		Entry("without the policy on decisions", SpecTimeout(specTimeout), deleted(policyNamed(admission.Approvals)), "missing"),
		Entry("without the policy on what is decided", SpecTimeout(specTimeout), deleted(policyNamed(admission.Decisions)), "missing"),
		Entry("without a binding", SpecTimeout(specTimeout), deleted(bindingNamed(admission.Approvals)), "missing"),
		Entry("where a refusal is only audited", SpecTimeout(specTimeout), onlyAudited(admission.Approvals), "not the one that ships"),
		Entry("where a failure admits", SpecTimeout(specTimeout), changed(admission.Executions, func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			ignore := admissionv1.Ignore
			s.FailurePolicy = &ignore
		}), "not the one that ships"),
		Entry("where somebody is exempt", SpecTimeout(specTimeout), changed(admission.Approvals, func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConditions = []admissionv1.MatchCondition{{Name: "others", Expression: "request.userInfo.username != 'eve'"}}
		}), "not the one that ships"),
	)

	It("is invalidated if a policy was exchanged and restored meanwhile; one that is made afterwards is good", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		DeferCleanup(restored)
		deleted(policyNamed(admission.Approvals))(ctx)
		restored(ctx)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionInvalidated, v1alpha1.ReasonProposalInvalidated)
		Expect(r.wfe.Status.Message).To(ContainSubstring("admission policies on decisions changed"))

		r.retried(ctx)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
	}, SpecTimeout(specTimeout))

	It("says so if it was made while a policy was missing, and is invalidated once the policy is back", func(ctx SpecContext) {
		ada := newCommandUser(ctx, approverRules()...)
		r := remediation(ctx, nil)
		before := r.target(ctx).Generation
		DeferCleanup(restored)
		deleted(bindingNamed(admission.Executions))(ctx)
		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
		r.reads(ctx)
		Expect(r.wfe.Spec.Admission).To(BeEmpty())
		Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Message != "" })).To(Succeed())
		Expect(r.wfe.Status.Message).To(SatisfyAll(ContainSubstring("decisions do not count"), ContainSubstring(admission.Executions)))

		restored(ctx)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionInvalidated, v1alpha1.ReasonProposalInvalidated)
		Expect(r.wfe.Status.Message).To(ContainSubstring("younger than the proposal"))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("an approval", func() {
	It("does not count as long as the refusal of a forged one cannot be proved", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		probe := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: r.WorkflowsNamespace, Name: admission.ProbeAccount}}
		Expect(env.Delete(ctx, probe)).To(Succeed())
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Message != "" })).To(Succeed())
		Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionProposed))
		Expect(r.wfe.Status.Message).To(SatisfyAll(ContainSubstring("does not count"), ContainSubstring("forbidden")))
		Expect(r.target(ctx).Generation).To(Equal(before))

		Expect(controlplane.CreateProbe(ctx, env, r.WorkflowsNamespace)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
	}, SpecTimeout(specTimeout))
})
