//go:build integration

package integration_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// remediationIn is a pipeline with the service that remediates, in a namespace of its own.
func remediationIn(ctx SpecContext, labels map[string]string, change func(*app.Options)) *testenv.Pipeline {
	p, err := env.NewPipeline(ctx, testenv.PipelineOptions{Labels: labels, WorkflowExecution: func(o *app.Options) {
		if change != nil {
			change(o)
		}
	}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(p.Stop)
	return p
}

// shopIn creates a Deployment whose pods nobody starts.
func shopIn(ctx context.Context, namespace string, annotations map[string]string) *appsv1.Deployment {
	labels := map[string]string{"app": "shop"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop", Annotations: annotations},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop:1"}}},
			},
		},
	}
	Expect(env.Create(ctx, d)).To(Succeed())
	return d
}

// restartWorkflow creates a valid workflow that restarts Deployments, with an account that may.
func restartWorkflow(ctx context.Context, p *testenv.Pipeline) *v1alpha1.RemediationWorkflow {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: p.WorkflowsNamespace, Name: "restarter"}}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "restarter-" + p.Namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: p.WorkflowsNamespace, Name: account.Name}},
	}
	wf := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.WorkflowsNamespace, Name: "restart"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description:        "Restarts the pods.",
			AppliesTo:          v1alpha1.AppliesTo{Signals: []string{"*"}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: "apps/v1", Kind: "Deployment"}}},
			Action:             &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}},
			ServiceAccountName: account.Name,
			Risk:               v1alpha1.RiskLow,
			Timeout:            metav1.Duration{Duration: time.Minute},
			Verification:       v1alpha1.WorkflowVerification{Condition: "true"},
		},
	}
	for _, o := range []client.Object{account, role, binding, wf} {
		Expect(env.Create(ctx, o)).To(Succeed())
	}
	Expect(testenv.WaitFor(ctx, env, wf, func(wf *v1alpha1.RemediationWorkflow) bool {
		return meta.IsStatusConditionTrue(wf.Status.Conditions, v1alpha1.ConditionValid)
	})).To(Succeed())
	return wf
}

// command is a command of the person who runs the specs.
func command(ctx context.Context, rr *v1alpha1.RemediationRequest, what v1alpha1.Command) *v1alpha1.RemediationCommand {
	me := &authenticationv1.SelfSubjectReview{}
	Expect(env.Create(ctx, me)).To(Succeed())
	return &v1alpha1.RemediationCommand{
		ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, GenerateName: "command-"},
		Spec: v1alpha1.RemediationCommandSpec{
			Request: v1alpha1.ObjectRef{Name: rr.Name, UID: rr.UID}, Command: what, Reason: "a spec wants it",
			RequestedBy: v1alpha1.Decider{Name: me.Status.UserInfo.Username, UID: me.Status.UserInfo.UID, Groups: me.Status.UserInfo.Groups},
		},
	}
}

// requestAbout is a request about a Deployment.
func requestAbout(d *appsv1.Deployment) *v1alpha1.RemediationRequest {
	rr := env.Request(env.CorrelationID())
	rr.Namespace = d.Namespace
	rr.Spec.TargetResource = v1alpha1.TargetResource{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, Namespace: d.Namespace}
	return rr
}

// proposalOf creates a request, and returns its proposal once the request is in a phase.
func proposalOf(ctx context.Context, rr *v1alpha1.RemediationRequest, phase v1alpha1.RemediationPhase) *v1alpha1.WorkflowExecution {
	Expect(env.Create(ctx, rr)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(phase))).To(Succeed())
	wfe := &v1alpha1.WorkflowExecution{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: rr.Namespace, Name: rr.Status.ExecutionRef}, wfe)).To(Succeed())
	return wfe
}

var _ = Describe("the selection of a remediation", func() {
	optedIn := map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationEnabled}

	It("proposes a workflow with its plan, and asks for an approval", func(ctx SpecContext) {
		p := remediationIn(ctx, optedIn, nil)
		d, wf := shopIn(ctx, p.Namespace, nil), restartWorkflow(ctx, p)
		rr := requestAbout(d)
		rr.Spec.Annotations = map[string]string{"runbook_url": "https://runbooks.example.com/crash"}
		wfe := proposalOf(ctx, rr, v1alpha1.RemediationAwaitingApproval)
		Expect(metav1.IsControlledBy(wfe, rr)).To(BeTrue())
		Expect(wfe.Name).To(Equal(rr.Name + "-1"))
		Expect(wfe.Spec.Target.UID).To(Equal(d.UID))
		Expect(wfe.Spec.Workflow.Name).To(Equal(wf.Name))
		Expect(wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalRequired))
		Expect(wfe.Spec.Change).To(ContainSubstring("restartedAt"))
		Expect(wfe.Spec.PlanDigest).To(HaveLen(64))
		Expect(wfe.Spec.RunbookURL).To(Equal("https://runbooks.example.com/crash"))
		trail, err := p.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail.Of("remediation.workflow.selected")).To(ContainElement(SatisfyAll(
			trailtest.WithOutcome("success"), trailtest.WithData("workflow", wf.Name), trailtest.WithData("approval", "required"))))
		Expect(trail.Of("remediation.approval.requested")).To(ContainElement(trailtest.WithData("plan_digest", wfe.Spec.PlanDigest)))
	}, SpecTimeout(specTimeout))

	It("says that no workflow applies, and closes the request for a person", func(ctx SpecContext) {
		p := remediationIn(ctx, optedIn, nil)
		rr := requestAbout(shopIn(ctx, p.Namespace, nil))
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		Expect(meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(v1alpha1.ReasonNoWorkflow))
		Expect(env.Create(ctx, command(ctx, rr, v1alpha1.CommandClose))).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		Expect(meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonClosed))
		trail, err := p.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail.Of("remediation.manual_review.required")).To(ContainElement(trailtest.WithData("reason", "NoWorkflow")))
		Expect(trail.Of("remediation.request.closed")).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("selects again when a person asks for another attempt", func(ctx SpecContext) {
		p := remediationIn(ctx, optedIn, nil)
		rr := requestAbout(shopIn(ctx, p.Namespace, nil))
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		restartWorkflow(ctx, p)
		Expect(env.Create(ctx, command(ctx, rr, v1alpha1.CommandRetry))).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	}, SpecTimeout(specTimeout))

	DescribeTable("only proposes where the platform must not act", func(ctx SpecContext, labels, annotations map[string]string, cluster, says string, change func(*app.Options)) {
		p := remediationIn(ctx, labels, change)
		d := shopIn(ctx, p.Namespace, annotations)
		restartWorkflow(ctx, p)
		rr := requestAbout(d)
		if cluster != "" {
			rr.Spec.Labels = map[string]string{"cluster": cluster}
		}
		wfe := proposalOf(ctx, rr, v1alpha1.RemediationManualReview)
		Expect(wfe.Spec.Approval).To(Equal(v1alpha1.ApprovalNone))
		Expect(wfe.Spec.ApprovalReason).To(ContainSubstring(says))
		Expect(meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(v1alpha1.ReasonProposalOnly))
		Expect(env.Create(ctx, mine(ctx, wfe))).To(MatchError(SatisfyAll(ContainSubstring(admission.Decisions), ContainSubstring("only a proposal"))))
		trail, err := p.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail.Of("remediation.manual_review.required")).To(ConsistOf(trailtest.WithData("reason", v1alpha1.ReasonProposalOnly)))
		Expect(trail.Of("remediation.approval.requested")).To(BeEmpty(), "nobody is asked")
		after := &appsv1.Deployment{}
		Expect(env.Get(ctx, client.ObjectKeyFromObject(d), after)).To(Succeed())
		Expect(after.Generation).To(Equal(d.Generation))
	},
		Entry("a namespace that has not opted in", SpecTimeout(specTimeout), nil, nil, "", "opted in", nil),
		Entry("mode observe", SpecTimeout(specTimeout), optedIn, nil, "", "observe", func(o *app.Options) { o.Mode = "observe" }),
		Entry("another cluster", SpecTimeout(specTimeout), optedIn, nil, "elsewhere", "elsewhere", nil),
		Entry("a target of Argo CD", SpecTimeout(specTimeout), optedIn, map[string]string{"argocd.argoproj.io/tracking-id": "x"}, "", "Argo CD", nil),
		Entry("the platform's namespace", SpecTimeout(specTimeout), optedIn, nil, "", "platform", func(o *app.Options) { o.PlatformNamespace = o.WatchNamespaces[0] }),
	)
})
