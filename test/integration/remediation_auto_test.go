//go:build integration

package integration_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// auto lets policies approve in the cluster that its signals call dev.
func auto(o *workflowexecution.Options) {
	o.Mode, o.ClusterNames = "auto", []string{"dev"}
}

var _ = Describe("the approval of a policy", func() {
	It("needs no person in a test environment that asks for it, and the trail names the policy", func(ctx SpecContext) {
		r := remediation(ctx, auto)
		before := r.target(ctx).Generation
		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
		r.reads(ctx)
		Expect(r.wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalAuto))
		Expect(r.wfe.Status.Approval.By).To(BeEmpty())
		Expect(approvalsIn(ctx, r.Namespace)).To(BeEmpty())
		trail := r.trail(ctx)
		Expect(r.wfe.Spec.Policy).NotTo(BeNil())
		Expect(trail.Of("remediation.approval.approved")).To(ConsistOf(SatisfyAll(
			trailtest.WithActorID("workflowexecution"), trailtest.WithData("policy_sha256", r.wfe.Spec.Policy.SHA256))))
		Expect(trail.Of("remediation.workflow.selected")).To(ConsistOf(trailtest.WithData("policy_sha256", r.wfe.Spec.Policy.SHA256)))
	}, SpecTimeout(specTimeout))

	It("does not count for a workflow of more than low risk, or in mode approve", func(ctx SpecContext) {
		for risk, options := range map[v1alpha1.Risk]func(*workflowexecution.Options){v1alpha1.RiskMedium: auto, v1alpha1.RiskLow: nil} {
			r := proposedBy(ctx, options, func(wf *v1alpha1.RemediationWorkflow) { wf.Spec.Risk = risk })
			Expect(r.wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired), r.wfe.Spec.ApprovalReason)
		}
	}, SpecTimeout(specTimeout))

	// Senders and owners of workloads can choose this evidence. The environment is test or
	// development each time, and that is not enough.
	DescribeTable("does not follow from what others than the namespace's owner say", func(
		ctx SpecContext, prefix string, target, signal map[string]string, environment v1alpha1.Environment, source string,
	) {
		labels := map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto}
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique(prefix), Labels: labels}}
		Expect(env.Create(ctx, ns)).To(Succeed())
		p, err := env.NewPipeline(ctx, testenv.PipelineOptions{
			SignalProcessing: func(o *signalprocessing.Options) { o.WatchNamespaces = append(o.WatchNamespaces, ns.Name) },
			WorkflowExecution: func(o *workflowexecution.Options) {
				auto(o)
				o.WatchNamespaces = append(o.WatchNamespaces, ns.Name)
			},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(p.Stop)
		shop := shopIn(ctx, ns.Name, nil)
		labeled := shop.DeepCopy()
		labeled.Labels = target
		Expect(env.Patch(ctx, labeled, client.MergeFrom(shop))).To(Succeed())
		restartWorkflow(ctx, p)
		rr := requestAbout(labeled)
		rr.Spec.Labels = signal
		wfe := proposalOf(ctx, rr, v1alpha1.RemediationAwaitingApproval)
		Expect(wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired))
		Expect(wfe.Spec.ApprovalReason).To(ContainSubstring("the policy requires a person"))
		sp := &v1alpha1.SignalProcessing{}
		Expect(env.Get(ctx, client.ObjectKey{Namespace: ns.Name, Name: rr.Status.SignalProcessingRef}, sp)).To(Succeed())
		Expect(sp.Status.Environment.Value).To(Equal(environment))
		Expect(sp.Status.Environment.Source).To(Equal(source))
	},
		Entry("the signal's cluster", SpecTimeout(specTimeout), "shop-*", nil, map[string]string{"cluster": "dev"}, v1alpha1.EnvironmentDevelopment, "signal-cluster"),
		Entry("a label of the target", SpecTimeout(specTimeout), "shop-*", map[string]string{"env": "test"}, nil, v1alpha1.EnvironmentTest, "target-label"),
		Entry("the name of the namespace", SpecTimeout(specTimeout), "dev-*", nil, nil, v1alpha1.EnvironmentDevelopment, "namespace-name"),
	)
})
