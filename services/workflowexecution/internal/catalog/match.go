package catalog

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubernaut.ai/api/v1alpha1"
)

// anySignal stands for every signal in a workflow.
const anySignal = "*"

// Problem is what a workflow is looked for.
type Problem struct {
	SignalName string
	// APIVersion and Kind of the target's top owner.
	APIVersion, Kind string
	// NamespaceLabels are those of the target's namespace.
	NamespaceLabels map[string]string
	Severity        v1alpha1.Severity
}

// Matches reports whether a workflow applies to a problem. It does not ask whether the
// workflow is valid.
func Matches(wf *v1alpha1.RemediationWorkflow, p Problem) (bool, error) {
	a := &wf.Spec.AppliesTo
	if !slices.Contains(a.Signals, p.SignalName) && !slices.Contains(a.Signals, anySignal) {
		return false, nil
	}
	if !slices.Contains(a.Kinds, v1alpha1.WorkflowKind{APIVersion: p.APIVersion, Kind: p.Kind}) {
		return false, nil
	}
	if len(a.Severities) > 0 && !slices.Contains(a.Severities, p.Severity) {
		return false, nil
	}
	if a.NamespaceSelector == nil {
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(a.NamespaceSelector)
	if err != nil {
		return false, fmt.Errorf("namespaceSelector of workflow %s: %w", wf.Name, err)
	}
	return selector.Matches(labels.Set(p.NamespaceLabels)), nil
}
