//go:build integration

package integration_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail/trailtest"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// fourEyes lets two persons approve what is of high risk.
func fourEyes(o *workflowexecution.Options) { o.FourEyes = true }

func highRisk(wf *v1alpha1.RemediationWorkflow) { wf.Spec.Risk = v1alpha1.RiskHigh }

// expiresIn makes proposals expire soon.
func expiresIn(expiry time.Duration) func(*workflowexecution.Options) {
	return func(o *workflowexecution.Options) { o.ApprovalExpiry = expiry }
}

// decidesAgain creates the second decision on a proposal.
func (u *commandUser) decidesAgain(ctx context.Context, r *remediated, verdict v1alpha1.Verdict) error {
	GinkgoHelper()
	hers, err := client.New(u.config, client.Options{Scheme: env.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	decision := r.decisionOn(u.name, "oncall", "system:authenticated")
	decision.Name, decision.Spec.Verdict = decision.Name+"-2", verdict
	return hers.Create(ctx, decision)
}

// garbageCollector is the API server as the garbage collector sees it.
func garbageCollector() client.Client {
	GinkgoHelper()
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:kube-system:generic-garbage-collector",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
	}
	c, err := client.New(config, client.Options{Scheme: env.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

var _ = Describe("a rejection", func() {
	It("cannot be deleted as long as its execution exists, and stays in force if a controller deletes it", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada, bob := newCommandUser(ctx, approverRules()...), newCommandUser(ctx, approverRules()...)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictReject)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionRejected, v1alpha1.ReasonProposalRejected)

		rejection := &v1alpha1.RemediationApproval{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: string(r.wfe.UID)}}
		Expect(env.Delete(ctx, rejection)).To(MatchError(SatisfyAll(
			ContainSubstring(admission.Decisions), ContainSubstring("not deleted as long as its execution exists"))))
		Expect(garbageCollector().Delete(ctx, rejection)).To(Succeed())
		Expect(bob.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		// Another attempt is only made after a look at the decision, and has another proposal.
		rejected := r.wfe
		r.retried(ctx)
		Expect(env.Get(ctx, client.ObjectKeyFromObject(rejected), rejected)).To(Succeed())
		Expect(rejected.Status.Phase).To(Equal(v1alpha1.ExecutionRejected))
		Expect(rejected.Status.Approval.By).To(ConsistOf(HaveField("Name", ada.name)))
		Expect(r.target(ctx).Generation).To(Equal(before))
	}, SpecTimeout(specTimeout))

	It("of an approval that has not been acted on invalidates the execution", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada, bob := newCommandUser(ctx, approverRules()...), newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "pause", "-n", r.Namespace)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Reason == v1alpha1.ReasonPaused })).To(Succeed())
		Expect(bob.decidesAgain(ctx, r, v1alpha1.VerdictReject)).To(Succeed())
		code, out = ada.run(ctx, "", "resume", "-n", r.Namespace)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		r.reads(ctx)
		Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionInvalidated))
		Expect(r.wfe.Status.Message).To(ContainSubstring("followed by a rejection"))
		Expect(r.target(ctx).Generation).To(Equal(before))
		Expect(r.trail(ctx).Of("workflowexecution.execution.started")).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})

var _ = Describe("two persons who decide", func() {
	It("do not both: the first decision wins", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada, bob := newCommandUser(ctx, approverRules()...), newCommandUser(ctx, approverRules()...)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		err := bob.decides(ctx, r, v1alpha1.VerdictReject)
		Expect(apierrors.IsAlreadyExists(err)).To(BeTrue(), "%v", err)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
		Expect(r.trail(ctx).Of("remediation.approval.approved")).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("are both needed for a workflow of high risk", func(ctx SpecContext) {
		r := proposedBy(ctx, fourEyes, highRisk)
		before := r.target(ctx).Generation
		ada, bob := newCommandUser(ctx, approverRules()...), newCommandUser(ctx, approverRules()...)
		for _, u := range []*commandUser{ada, bob} {
			code, out := u.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "seen before", "--yes")
			Expect(code).To(Equal(cli.ExitOK), out)
		}
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
		r.reads(ctx)
		Expect(r.wfe.Status.Approval.By).To(ConsistOf(HaveField("Name", ada.name), HaveField("Name", bob.name)), "one would not have been enough")
		Expect(r.trail(ctx).Of("remediation.approval.approved")).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("are not one person who approves twice", func(ctx SpecContext) {
		r := proposedBy(ctx, func(o *workflowexecution.Options) {
			fourEyes(o)
			expiresIn(10 * time.Second)(o)
		}, highRisk)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		_, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "again", "--yes")
		Expect(out).To(ContainSubstring("another one has to"))
		Expect(ada.decidesAgain(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionExpired, v1alpha1.ReasonProposalExpired)
	}, SpecTimeout(specTimeout))

	DescribeTable("do not overrule each other's rejection", func(ctx SpecContext, first, second v1alpha1.Verdict) {
		r := proposedBy(ctx, fourEyes, highRisk)
		before := r.target(ctx).Generation
		ada, bob := newCommandUser(ctx, approverRules()...), newCommandUser(ctx, approverRules()...)
		Expect(ada.decides(ctx, r, first)).To(Succeed())
		Expect(bob.decidesAgain(ctx, r, second)).To(Succeed())
		r.expectUntouched(ctx, before, v1alpha1.ExecutionRejected, v1alpha1.ReasonProposalRejected)
	},
		Entry("the first rejects", SpecTimeout(specTimeout), v1alpha1.VerdictReject, v1alpha1.VerdictApprove),
		Entry("the second rejects", SpecTimeout(specTimeout), v1alpha1.VerdictApprove, v1alpha1.VerdictReject),
	)
})

var _ = Describe("a proposal on which nobody decides", func() {
	It("expires, and nobody is asked again before a person wants another attempt", func(ctx SpecContext) {
		r := proposedBy(ctx, expiresIn(3*time.Second), nil)
		before := r.target(ctx).Generation
		r.expectUntouched(ctx, before, v1alpha1.ExecutionExpired, v1alpha1.ReasonProposalExpired)
		trail := r.trail(ctx)
		Expect(trail.Of("remediation.approval.expired")).To(HaveLen(1))
		Expect(trail.Of("remediation.manual_review.required")).To(ConsistOf(trailtest.WithData("reason", v1alpha1.ReasonProposalExpired)))
		ada := newCommandUser(ctx, approverRules()...)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed(), "nothing keeps people from deciding late")

		code, out := ada.run(ctx, "", "retry", r.rr.Name, "-n", r.Namespace, "--reason", "we have time today")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.ExecutionRef != r.wfe.Name
		})).To(Succeed())
		trail = r.trail(ctx)
		Expect(trail.Of("remediation.approval.requested")).To(HaveLen(2), "one question for each attempt that a person wanted")
		Expect(trail.Of("remediation.request.retried")).To(HaveLen(1))
		Expect(r.target(ctx).Generation).To(Equal(before), "the late approval was of another proposal")
	}, SpecTimeout(specTimeout))
})
