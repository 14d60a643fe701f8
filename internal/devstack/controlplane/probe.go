package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
)

// CreateProbe creates the account that tries a forged decision, in the namespace of workflows,
// as deploy/kustomize/workflows does. What exists is left alone.
func CreateProbe(ctx context.Context, c client.Client, namespace string) error {
	metadata := metav1.ObjectMeta{Namespace: namespace, Name: admission.ProbeAccount}
	automount := false
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metadata, AutomountServiceAccountToken: &automount},
		&rbacv1.Role{ObjectMeta: metadata, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"remediationapprovals"}, Verbs: []string{"create"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: metadata,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: admission.ProbeAccount},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: admission.ProbeAccount}},
		},
	} {
		if err := c.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("create %T %s/%s, which proves that decisions cannot be forged: %w", object, namespace, admission.ProbeAccount, err)
		}
	}
	return nil
}
