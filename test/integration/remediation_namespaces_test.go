//go:build integration

package integration_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// allIn is a client of somebody who may do everything in one namespace, and nothing elsewhere.
func allIn(ctx context.Context, namespace string) client.Client {
	GinkgoHelper()
	who := newCommandUser(ctx)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "everything"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: who.name}},
	}
	Expect(env.Create(ctx, role)).To(Succeed())
	Expect(env.Create(ctx, binding)).To(Succeed())
	awaitDecision(ctx, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: who.name, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: "kubernaut.ai", Resource: "workflowexecutions", Verb: "propose",
			},
		}}
		err := env.Create(ctx, review)
		return review.Status.Allowed, err
	})
	theirs, err := client.New(who.config, client.Options{Scheme: env.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return theirs
}

// neighbor is a Deployment in another namespace that has opted in.
func neighbor(ctx context.Context, like *appsv1.Deployment) *appsv1.Deployment {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, map[string]string{
		v1alpha1.LabelRemediation: v1alpha1.RemediationAuto, "kubernaut.ai/environment": "test",
	}, nil)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(removed, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: like.Name}, Spec: *like.Spec.DeepCopy()}
	Expect(env.Create(ctx, d)).To(Succeed())
	return d
}

// beRefused matches the refusal by an admission policy that says a text.
func beRefused(says string) gomegatypes.GomegaMatcher {
	return SatisfyAll(
		Or(Satisfy(apierrors.IsForbidden), Satisfy(apierrors.IsInvalid)),
		MatchError(SatisfyAll(ContainSubstring("ValidatingAdmissionPolicy"), ContainSubstring(says))))
}

// forged is an execution like another one, with another target.
func forged(like *v1alpha1.WorkflowExecution, target *appsv1.Deployment) *v1alpha1.WorkflowExecution {
	wfe := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: like.Namespace, Name: "forged"}, Spec: *like.Spec.DeepCopy()}
	wfe.Spec.Approval, wfe.Spec.ApprovalReason = v1alpha1.ApprovalAuto, "because I say so"
	wfe.Spec.Target.Namespace, wfe.Spec.Target.UID, wfe.Spec.Target.Generation = target.Namespace, target.UID, target.Generation
	return wfe
}

var _ = Describe("somebody who may do everything in one namespace", func() {
	It("neither proposes there, nor writes what became of proposals and commands", func(ctx SpecContext) {
		const says = "only those who may propose workflowexecutions"
		r := proposed(ctx)
		theirs := allIn(ctx, r.Namespace)
		victim := neighbor(ctx, r.target(ctx))
		Expect(theirs.Create(ctx, forged(r.wfe, victim))).To(beRefused(says))

		before := r.wfe.DeepCopy()
		r.wfe.Status.Phase = v1alpha1.ExecutionApproved
		Expect(theirs.Status().Patch(ctx, r.wfe, client.MergeFrom(before))).To(beRefused(says))
		asked := command(ctx, r.rr, v1alpha1.CommandClose)
		Expect(env.Create(ctx, asked)).To(Succeed())
		unanswered := asked.DeepCopy()
		asked.Status.Result = "Done"
		Expect(theirs.Status().Patch(ctx, asked, client.MergeFrom(unanswered))).To(beRefused(says))
	}, SpecTimeout(specTimeout))

	It("gets nothing executed elsewhere by a request of their own", func(ctx SpecContext) {
		r := remediation(ctx, func(o *app.Options) { o.Mode = "auto" })
		r.account(ctx)
		theirs := allIn(ctx, r.Namespace)
		victim := neighbor(ctx, r.target(ctx))
		signal := "Alert-" + env.CorrelationID()
		Expect(testenv.WaitFor(ctx, env, r.workflow(ctx, signal, 0), isValid)).To(Succeed())

		r.rr = requestAbout(victim)
		r.rr.Namespace, r.rr.Spec.SignalName = r.Namespace, signal
		Expect(theirs.Create(ctx, r.rr)).To(Succeed())
		r.inReview(ctx, v1alpha1.ReasonNoWorkflow)
		Expect(r.rr.Status.ExecutionRef).To(BeEmpty())
		Expect(r.rr.Status.Message).To(ContainSubstring("the target is in namespace " + victim.Namespace))
		generation := victim.Generation
		Expect(env.Get(ctx, client.ObjectKeyFromObject(victim), victim)).To(Succeed())
		Expect(victim.Generation).To(Equal(generation))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("an execution with a target in another namespace", func() {
	It("is refused also if the service proposes it, unless nobody can approve it", func(ctx SpecContext) {
		r := proposed(ctx)
		wfe := forged(r.wfe, neighbor(ctx, r.target(ctx)))
		Expect(env.Create(ctx, wfe)).To(beRefused("the target of an execution must be in its namespace"))
		wfe.Spec.Approval = v1alpha1.ApprovalNone
		Expect(env.Create(ctx, wfe)).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("does not start although it was made and approved without the admission policy", Serial, func(ctx SpecContext) {
		r := proposed(ctx)
		victim := neighbor(ctx, r.target(ctx))
		DeferCleanup(restored)
		deleted(bindingNamed(admission.Executions))(ctx)
		wfe := forged(r.wfe, victim)
		awaitDecision(ctx, true, func(ctx context.Context) (bool, error) {
			err := env.Create(ctx, wfe)
			if apierrors.IsForbidden(err) {
				return false, nil
			}
			return err == nil, err
		})
		before, now := wfe.DeepCopy(), metav1.NewMicroTime(time.Now())
		wfe.Status.Phase, wfe.Status.Approval = v1alpha1.ExecutionApproved, &v1alpha1.ExecutionApproval{At: now}
		Expect(env.Status().Patch(ctx, wfe, client.MergeFrom(before))).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Phase.Terminal() })).To(Succeed())
		Expect(wfe.Status.Phase).To(Equal(v1alpha1.ExecutionInvalidated))
		Expect(wfe.Status.Message).To(ContainSubstring("another namespace"))
		Expect(env.Get(ctx, client.ObjectKeyFromObject(victim), victim)).To(Succeed())
		Expect(victim.Generation).To(Equal(wfe.Spec.Target.Generation))
	}, SpecTimeout(specTimeout))
})
