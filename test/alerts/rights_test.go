package alerts_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/test/testenv"
)

func rule(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

// acting reaches the API server as a user.
func acting(user string) *rest.Config {
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return config
}

// grant grants a user permissions everywhere until the end of the spec, or until the
// returned function takes them away.
func grant(ctx context.Context, user string, rules ...rbacv1.PolicyRule) (revoke func(context.Context)) {
	GinkgoHelper()
	name := testenv.Unique("alerts-*")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	made(ctx, role, binding)
	awaitRight(ctx, user, "", &rules[0], true)
	return func(ctx context.Context) {
		GinkgoHelper()
		Expect(env.Delete(ctx, binding)).To(Succeed())
		awaitRight(ctx, user, "", &rules[0], false)
	}
}

// grantIn grants a user permissions in a namespace.
func grantIn(ctx context.Context, namespace, user string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: testenv.Unique("alerts-*")}
	made(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	awaitRight(ctx, user, namespace, &rules[0], true)
}

// made makes objects for one spec.
func made(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(env.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(env.Delete(ctx, object))).To(Succeed()) })
	}
}

// awaitRight waits until the API server has seen a change of a user's rights.
func awaitRight(ctx context.Context, user, namespace string, rule *rbacv1.PolicyRule, want bool) {
	GinkgoHelper()
	Eventually(ctx, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: rule.Verbs[0],
			},
		}}
		err := env.Create(ctx, review)
		return review.Status.Allowed, err
	}).Should(Equal(want))
}
