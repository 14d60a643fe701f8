package admission_test

import (
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/admission"
)

// The service compares what is deployed with what it embeds, to the byte.
func TestKustomizeChangesNoPolicy(t *testing.T) {
	t.Parallel()
	all, err := admission.Policies()
	if err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "deploy", "kustomize", "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, r := range built.Resources() {
		if r.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		content, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		if err := yaml.UnmarshalStrict(content, policy); err != nil {
			t.Fatal(err)
		}
		if !equality.Semantic.DeepEqual(policy.Spec, all[policy.Name].Policy.Spec) {
			t.Errorf("%s is deployed otherwise than it is embedded", policy.Name)
		}
		compared++
	}
	if compared != len(all) {
		t.Errorf("%d of %d policies are deployed", compared, len(all))
	}
}
