package plan

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/mustgather/redact"
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

func newPlanner(t *testing.T) *Planner {
	t.Helper()
	redactor, err := redact.New()
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Redact: redactor.Text, RedactObject: redactor.Object})
}

func TestADiffTellsThatAVariableChangesAndNotItsValues(t *testing.T) {
	planner := newPlanner(t)
	target := func(value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"kind": "Deployment", "metadata": map[string]any{"name": "shop"}, "spec": map[string]any{
			"env": []any{map[string]any{"name": "GREETING", "value": value}},
		}}}
	}
	text, err := planner.difference(target("planted one"), target("planted two"))
	if err != nil || strings.Contains(text, "planted") || !strings.Contains(text, "-    value: '[hashed") || !strings.Contains(text, "+    value: '[hashed") {
		t.Errorf("diff %s, error %v", text, err)
	}
	if text, err := planner.difference(target("planted"), target("planted")); err != nil || text != "" {
		t.Errorf("without a change: diff %s, error %v", text, err)
	}
}

func TestAJobIsShownWithoutValuesThatMayBeSecrets(t *testing.T) {
	job := &batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "work", Image: "work:1", Args: []string{"--min-age=$(MIN_AGE)"},
		Env: []corev1.EnvVar{{Name: "GREETING", Value: "planted text"}, {Name: "MIN_AGE", Value: "10m"}, {Name: "KUBERNAUT_TARGET_NAMESPACE", Value: "shop"}},
	}}}}}}
	text, err := newPlanner(t).jobText(job)
	if err != nil || strings.Contains(text, "planted") {
		t.Errorf("%s, error %v", text, err)
	}
	for _, shown := range []string{"image: work:1", "--min-age=$(MIN_AGE)", "value: 10m", "value: shop"} {
		if !strings.Contains(text, shown) {
			t.Errorf("%q is not in %s", shown, text)
		}
	}
	if job.Spec.Template.Spec.Containers[0].Env[0].Value != "planted text" {
		t.Error("the Job itself was changed")
	}
}

func TestADiffShowsNeitherStatusNorMark(t *testing.T) {
	planner := newPlanner(t)
	before := &unstructured.Unstructured{Object: map[string]any{
		"kind": "Deployment", "metadata": map[string]any{"name": "shop", "resourceVersion": "1"}, "spec": map[string]any{"replicas": int64(1)},
	}}
	after := before.DeepCopy()
	after.SetResourceVersion("2")
	after.SetAnnotations(map[string]string{v1alpha1.AnnotationExecution: "uid"})
	_ = unstructured.SetNestedField(after.Object, int64(1), "status", "replicas")
	if text, err := planner.difference(before, after); err != nil || text != "" {
		t.Errorf("diff %q, error %v", text, err)
	}
	_ = unstructured.SetNestedField(after.Object, int64(2), "spec", "replicas")
	text, err := planner.difference(before, after)
	if err != nil || !strings.Contains(text, "-  replicas: 1\n+  replicas: 2\n") {
		t.Errorf("diff %q, error %v", text, err)
	}
}
