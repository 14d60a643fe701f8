//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

// recreated replaces the target by another one of the same name.
func (r *remediated) recreated(ctx context.Context) {
	GinkgoHelper()
	old := r.target(ctx)
	Expect(env.Delete(ctx, old)).To(Succeed())
	again := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name}, Spec: old.Spec}
	Expect(env.Create(ctx, again)).To(Succeed())
	Expect(again.UID).NotTo(Equal(old.UID))
}

// patched changes an object with a JSON merge patch.
func patched(ctx context.Context, object client.Object, how string) {
	GinkgoHelper()
	Expect(env.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(how)))).To(Succeed())
}

var _ = Describe("an approval of what changed since it was proposed", func() {
	DescribeTable("changes nothing", func(ctx SpecContext, change func(context.Context, *remediated), says string) {
		r := proposed(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		change(ctx, r)
		before := r.target(ctx)
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		r.expectUntouched(ctx, before.Generation, v1alpha1.ExecutionInvalidated, v1alpha1.ReasonProposalInvalidated)
		Expect(r.target(ctx).UID).To(Equal(before.UID))
		Expect(r.wfe.Status.Message).To(ContainSubstring(says))
		Expect(r.trail(ctx).Of("remediation.approval.invalidated")).To(ConsistOf(trailtest.WithData("reason", "Changed")))
	},
		Entry("the pod template of the target", SpecTimeout(specTimeout), func(ctx context.Context, r *remediated) {
			patched(ctx, r.target(ctx), `{"spec":{"template":{"metadata":{"annotations":{"team":"shop"}}}}}`)
		}, "changed in what the plan depends on"),
		Entry("the target was recreated", SpecTimeout(specTimeout), func(ctx context.Context, r *remediated) { r.recreated(ctx) }, "is another object"),
		Entry("the workflow", SpecTimeout(specTimeout), func(ctx context.Context, r *remediated) {
			wf := &v1alpha1.RemediationWorkflow{ObjectMeta: metav1.ObjectMeta{Namespace: r.WorkflowsNamespace, Name: "restart"}}
			patched(ctx, wf, `{"spec":{"verification":{"condition":"false"}}}`)
		}, "workflow restart changed"),
		Entry("the workflow was deleted", SpecTimeout(specTimeout), func(ctx context.Context, r *remediated) {
			deleted(&v1alpha1.RemediationWorkflow{ObjectMeta: metav1.ObjectMeta{Namespace: r.WorkflowsNamespace, Name: "restart"}})(ctx)
		}, "workflow restart is gone"),
	)

	It("changes nothing if the target is gone", func(ctx SpecContext) {
		r := proposed(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		Expect(env.Delete(ctx, r.target(ctx))).To(Succeed())
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		r.reads(ctx)
		Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionInvalidated))
		Expect(r.wfe.Status.Message).To(ContainSubstring("Deployment web is gone"))
		Expect(r.trail(ctx).Of("workflowexecution.execution.started")).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("still counts if the change is none that the plan depends on", func(ctx SpecContext) {
		r := proposed(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		patched(ctx, r.target(ctx), `{"metadata":{"labels":{"team":"shop"}},"spec":{"replicas":3}}`)
		before := r.target(ctx).Generation
		Expect(ada.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		after := r.target(ctx)
		Expect(after.Generation).To(Equal(before + 1))
		Expect(after.Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
	}, SpecTimeout(specTimeout))
})
