package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
)

// MaxChange bounds Plan.Change in bytes.
const MaxChange = 16 << 10

const cut = "\n[cut: the change is longer]\n"

// difference is the unified diff of two states of an object.
func (p *Planner) difference(before, after *unstructured.Unstructured) (string, error) {
	old, err := p.shown(before)
	if err != nil {
		return "", err
	}
	changed, err := p.shown(after)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s/%s", strings.ToLower(before.GetKind()), before.GetName())
	return udiff.Unified(name+" (now)", name+" (proposed)", old, changed), nil
}

// shown is an object as YAML without secrets and without what says nothing about a change: the
// mark, the API server's own fields, and the status.
func (p *Planner) shown(object *unstructured.Unstructured) (string, error) {
	o := object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	for _, annotation := range []string{v1alpha1.AnnotationExecution, "kubectl.kubernetes.io/last-applied-configuration"} {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations", annotation)
	}
	if len(o.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	delete(o.Object, "status")
	p.RedactObject(o.Object)
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return "", fmt.Errorf("show %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return string(text), nil
}

// jobText shows a Job that will run.
func (p *Planner) jobText(job *batchv1.Job) (string, error) {
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&job.Spec)
	if err != nil {
		return "", fmt.Errorf("show the Job: %w", err)
	}
	p.RedactObject(spec)
	text, err := yaml.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("show the Job: %w", err)
	}
	return fmt.Sprintf("# a Job in namespace %s with this spec:\n%s", job.Namespace, text), nil
}

// bound cuts a text at a character's boundary.
func bound(text string) string {
	if len(text) <= MaxChange {
		return text
	}
	end := MaxChange - len(cut)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + cut
}

func sorted(parameters []v1alpha1.ExecutionParameter) []v1alpha1.ExecutionParameter {
	return slices.SortedFunc(slices.Values(parameters), func(a, b v1alpha1.ExecutionParameter) int { return strings.Compare(a.Name, b.Name) })
}
