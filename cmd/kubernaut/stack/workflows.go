package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	rbac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/deploy"
	"kubernaut.ai/internal/devstack/controlplane"
)

const (
	fieldOwner = "kubernaut-up"
	// approverRole and readerRole are the roles that the deployment has for people.
	approverRole = "kubernaut-approver"
	readerRole   = "kubernaut-reader"
	// catalogRole lets people see with which account a workflow works.
	catalogRole = "kubernaut-catalog-reader"
	// yamlBuffer is how much of a file is looked at to tell YAML from JSON.
	yamlBuffer = 4096
)

// installWorkflows installs the workflows with their accounts and rights, or brings existing ones
// up to date, as kubectl apply -k deploy/kustomize/workflows does.
func installWorkflows(ctx context.Context, c client.Client) error {
	objects, err := workflows()
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := apply(ctx, c, object); err != nil {
			return err
		}
	}
	return nil
}

// workflows builds the kustomization of the workflows.
func workflows() ([]*unstructured.Unstructured, error) {
	files := filesys.MakeFsInMemory()
	err := fs.WalkDir(deploy.FS, deploy.Workflows, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := deploy.FS.ReadFile(path)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return files.WriteFile(path, content)
	})
	if err != nil {
		return nil, fmt.Errorf("read the workflows: %w", err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, deploy.Workflows)
	if err != nil {
		return nil, fmt.Errorf("build the workflows: %w", err)
	}
	objects := make([]*unstructured.Unstructured, 0, built.Size())
	for _, r := range built.Resources() {
		content, err := r.Map()
		if err != nil {
			return nil, fmt.Errorf("read %s %s of the workflows: %w", r.GetKind(), r.GetName(), err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

// admitPeople lets users approve remediations in all namespaces, and see the catalog.
func admitPeople(ctx context.Context, c client.Client, users []controlplane.User) error {
	roles, err := peopleRoles()
	if err != nil {
		return err
	}
	for _, role := range roles {
		if err := apply(ctx, c, role); err != nil {
			return err
		}
	}
	catalog := rbac.ClusterRole(catalogRole).WithRules(rbac.PolicyRule().
		WithAPIGroups(v1alpha1.GroupVersion.Group).WithResources("remediationworkflows").WithVerbs("get", "list", "watch"))
	for _, object := range []runtime.ApplyConfiguration{catalog, binding(approverRole, users), binding(catalogRole, users)} {
		if err := c.Apply(ctx, object, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("let people approve: %w", err)
		}
	}
	return nil
}

func binding(role string, users []controlplane.User) *rbac.ClusterRoleBindingApplyConfiguration {
	b := rbac.ClusterRoleBinding("kubernaut-up-" + role).
		WithRoleRef(rbac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("ClusterRole").WithName(role))
	for _, u := range users {
		b.WithSubjects(rbac.Subject().WithKind(rbacv1.UserKind).WithAPIGroup(rbacv1.GroupName).WithName(u.Name))
	}
	return b
}

// peopleRoles are the roles for people in the deployment of the cluster.
func peopleRoles() ([]*unstructured.Unstructured, error) {
	content, err := deploy.FS.ReadFile(deploy.ClusterRoles)
	if err != nil {
		return nil, fmt.Errorf("read the roles for people: %w", err)
	}
	var roles []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), yamlBuffer)
	for {
		role := &unstructured.Unstructured{}
		err := documents.Decode(role)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the roles for people: %s: %w", deploy.ClusterRoles, err)
		}
		if name := role.GetName(); role.GetKind() == "ClusterRole" && (name == approverRole || name == readerRole) {
			roles = append(roles, role)
		}
	}
	if want := 2; len(roles) != want {
		return nil, fmt.Errorf("read the roles for people: %s has %d of %d: %s and %s", deploy.ClusterRoles, len(roles), want, approverRole, readerRole)
	}
	return roles, nil
}

func apply(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}
