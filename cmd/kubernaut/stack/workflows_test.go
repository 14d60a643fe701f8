package stack

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func TestTheWorkflowsAreThoseOfTheDeployment(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "deploy", "kustomize", "workflows")
	deployed, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := workflows()
	if err != nil || len(got) != deployed.Size() {
		t.Fatalf("%d objects, %v; the deployment has %d", len(got), err, deployed.Size())
	}
	for i, r := range deployed.Resources() {
		want, err := r.Map()
		if err != nil || !reflect.DeepEqual(got[i].Object, want) {
			t.Errorf("got %v, want %v, %v", got[i].Object, want, err)
		}
	}
}

func TestPeopleHaveTheRolesOfTheDeployment(t *testing.T) {
	t.Parallel()
	roles, err := peopleRoles()
	if err != nil {
		t.Fatal(err)
	}
	mayApprove := slices.ContainsFunc(roles, func(role *unstructured.Unstructured) bool {
		rules, _, err := unstructured.NestedSlice(role.Object, "rules")
		return err == nil && role.GetName() == approverRole && len(rules) > 0
	})
	if !mayApprove {
		t.Errorf("roles %v", roles)
	}
}
