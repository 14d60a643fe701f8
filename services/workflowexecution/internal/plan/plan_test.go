package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubernaut.ai/api/v1alpha1"
)

func TestALongChangeIsCutAtACharacter(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("é", MaxChange), strings.Repeat("x", MaxChange) + "é"} {
		got := bound(text)
		if len(got) > MaxChange || strings.ContainsRune(got, '�') {
			t.Errorf("%d bytes, want at most %d and whole characters", len(got), MaxChange)
		}
		if long := len(text) > MaxChange; long != strings.HasSuffix(got, cut) {
			t.Errorf("a text of %d bytes ends with %q", len(text), got[max(0, len(got)-20):])
		}
	}
}

func TestAParameterDoesNotSelectTheTarget(t *testing.T) {
	target := &unstructured.Unstructured{Object: map[string]any{"kind": "Deployment", "metadata": map[string]any{"name": "shop"}}}
	given := variables(target, []v1alpha1.ExecutionParameter{{Name: "kubernaut_target_name", Value: "other"}, {Name: "keep", Value: "3"}}, "uid")
	found := map[string][]string{}
	for _, v := range override([]corev1.EnvVar{{Name: "KEEP", Value: "9"}}, given) {
		found[v.Name] = append(found[v.Name], v.Value)
	}
	if got := strings.Join(found["KUBERNAUT_TARGET_NAME"], ","); got != "shop" {
		t.Errorf("target %q, want shop", got)
	}
	if got := strings.Join(found["KEEP"], ","); got != "3" {
		t.Errorf("KEEP %q, want 3", got)
	}
}

func TestADiffShowsNeitherStatusNorMark(t *testing.T) {
	before := &unstructured.Unstructured{Object: map[string]any{
		"kind": "Deployment", "metadata": map[string]any{"name": "shop", "resourceVersion": "1"}, "spec": map[string]any{"replicas": int64(1)},
	}}
	after := before.DeepCopy()
	after.SetResourceVersion("2")
	after.SetAnnotations(map[string]string{v1alpha1.AnnotationExecution: "uid"})
	_ = unstructured.SetNestedField(after.Object, int64(1), "status", "replicas")
	if text, err := difference(before, after); err != nil || text != "" {
		t.Errorf("diff %q, error %v", text, err)
	}
	_ = unstructured.SetNestedField(after.Object, int64(2), "spec", "replicas")
	text, err := difference(before, after)
	if err != nil || !strings.Contains(text, "-  replicas: 1\n+  replicas: 2\n") {
		t.Errorf("diff %q, error %v", text, err)
	}
}
