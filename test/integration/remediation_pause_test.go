//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail/trailtest"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// pausedAfterApproval approves the proposal, and waits until its execution is approved and paused.
func (r *remediated) pausedAfterApproval(ctx context.Context, by *commandUser) {
	GinkgoHelper()
	Expect(by.decides(ctx, r, v1alpha1.VerdictApprove)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Reason == v1alpha1.ReasonPaused })).To(Succeed())
	Expect(r.wfe.Status.Phase).To(Equal(v1alpha1.ExecutionApproved))
}

// expectGoesOn expects that the target is changed after a pause, once.
func (r *remediated) expectGoesOn(ctx context.Context, generation int64) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
	Expect(r.target(ctx).Generation).To(Equal(generation + 1))
	Expect(r.trail(ctx).Of("workflowexecution.execution.started")).To(HaveLen(1))
}

// unreadablePauses is a user who may do everything but read the PauseSwitch. allow lets the
// user read it.
func unreadablePauses(ctx context.Context) (config *rest.Config, allow func(context.Context)) {
	GinkgoHelper()
	rule := func(groups, resources, verbs []string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: groups, Resources: resources, Verbs: verbs}
	}
	all := []string{"*"}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("unpaused-*")}, Rules: []rbacv1.PolicyRule{
		rule([]string{
			"", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "coordination.k8s.io", "events.k8s.io", "apiextensions.k8s.io",
			"authorization.k8s.io", "admissionregistration.k8s.io",
		}, all, all),
		rule([]string{"kubernaut.ai"}, []string{
			"remediationrequests", "remediationrequests/status", "remediationrequests/finalizers", "signalprocessings",
			"workflowexecutions", "workflowexecutions/status", "workflowexecutions/finalizers", "remediationworkflows", "remediationworkflows/status",
			"remediationapprovals", "remediationcommands", "remediationcommands/status",
		}, all),
		rule([]string{"kubernaut.ai"}, []string{"pauseswitches"}, []string{"list", "watch"}),
	}}
	user := role.Name + "@example.org"
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(env.Create(ctx, object)).To(Succeed())
		DeferCleanup(removed, object)
	}
	config, err := env.People.WithCertificate(env.Config, user)
	Expect(err).NotTo(HaveOccurred())
	newPerson(config, user, "").may(ctx, "events", "list") // waits until the API server knows the role
	return config, func(ctx context.Context) {
		GinkgoHelper()
		role.Rules = append(role.Rules, rule([]string{"kubernaut.ai"}, []string{"pauseswitches"}, []string{"get"}))
		Expect(env.Update(ctx, role)).To(Succeed())
	}
}

var _ = Describe("a pause", func() {
	It("of a namespace keeps what is approved from starting, until it ends; both are on the trail", func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "pause", "-n", r.Namespace)
		Expect(code).To(Equal(cli.ExitOK), out)
		r.pausedAfterApproval(ctx, ada)
		Expect(r.wfe.Status.Message).To(ContainSubstring("namespace " + r.Namespace))
		Expect(r.target(ctx).Generation).To(Equal(before))
		Expect(r.trail(ctx).Of("workflowexecution.execution.started")).To(BeEmpty())

		pauses := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.PlatformNamespace, Name: "workflowexecution-pauses"}}
		Expect(testenv.WaitFor(ctx, env, pauses, func(m *corev1.ConfigMap) bool { return m.Data[r.Namespace] != "" })).To(Succeed())
		code, out = ada.run(ctx, "", "resume", "-n", r.Namespace)
		Expect(code).To(Equal(cli.ExitOK), out)
		r.expectGoesOn(ctx, before)
		Expect(testenv.WaitFor(ctx, env, pauses, func(m *corev1.ConfigMap) bool { return m.Data[r.Namespace] == "" })).To(Succeed())
		trail, err := r.AuditTrail(ctx, "pause-namespace-"+r.Namespace)
		Expect(err).NotTo(HaveOccurred())
		observed := trailtest.WithActorID("workflowexecution")
		Expect(trail.Of("remediation.paused")).To(ConsistOf(SatisfyAll(observed, trailtest.WithData("namespace", r.Namespace))))
		Expect(trail.Of("remediation.resumed")).To(ConsistOf(SatisfyAll(observed, trailtest.WithData("namespace", r.Namespace))))
	}, SpecTimeout(specTimeout))

	It("is assumed if the switch cannot be read", func(ctx SpecContext) {
		config, allow := unreadablePauses(ctx)
		r := proposedBy(ctx, func(o *workflowexecution.Options) { o.RESTConfig = config }, nil)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		r.pausedAfterApproval(ctx, ada)
		Expect(r.wfe.Status.Message).To(ContainSubstring("cannot be read"))
		Expect(r.target(ctx).Generation).To(Equal(before))
		allow(ctx)
		r.expectGoesOn(ctx, before)
	}, SpecTimeout(specTimeout))

	// The switch is the cluster's: no other spec may run.
	It("of the cluster keeps what is approved from starting; the trail says who paused and resumed", Serial, func(ctx SpecContext) {
		r := proposed(ctx)
		before := r.target(ctx).Generation
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "pause", "--reason", "network")
		Expect(code).To(Equal(cli.ExitOK), out)
		DeferCleanup(func(ctx SpecContext) { ada.run(ctx, "", "resume", "--reason", "the spec is over") })
		r.pausedAfterApproval(ctx, ada)
		Expect(r.wfe.Status.Message).To(SatisfyAll(ContainSubstring(ada.name), ContainSubstring("network")))
		Expect(r.target(ctx).Generation).To(Equal(before))

		code, out = ada.run(ctx, "", "resume", "--reason", "repaired")
		Expect(code).To(Equal(cli.ExitOK), out)
		r.expectGoesOn(ctx, before)
		trail, err := r.AuditTrail(ctx, "pause-cluster")
		Expect(err).NotTo(HaveOccurred())
		// Other specs use the switch, too.
		Expect(trail.Of("remediation.paused")).To(ContainElement(SatisfyAll(trailtest.WithActorID(ada.name), trailtest.WithData("reason", "network"))))
		Expect(trail.Of("remediation.resumed")).To(ContainElement(SatisfyAll(trailtest.WithActorID(ada.name), trailtest.WithData("reason", "repaired"))))
	}, SpecTimeout(specTimeout))
})
