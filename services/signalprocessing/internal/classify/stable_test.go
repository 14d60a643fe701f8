package classify_test

import (
	"fmt"
	"slices"
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

// unsettled has policies that fail where the engine is free to choose its words: the
// first rules disagree for any two labels, and the others look at all of them.
const unsettled = `package kubernaut
severity.decision := {"value": v, "source": k, "confidence": 1} if some k, v in input.signal.labels
environment.decision := {"value": v, "source": k, "confidence": 1} if some k, v in input.context.namespaceLabels
priority.decision := {"value": sprintf("%v", [input.signal.labels]), "source": "all", "confidence": 1}
business.decision := {"unit": 1, "criticality": {k | some k, _ in input.signal.labels}, "serviceOwner": [], "sla": {}}
remediation.decision := {"workflow": "", "parameters": {}, "approval": "required", "reason": "none"}
`

// labels makes a map of labels, filled in an order.
func labels(order []int) map[string]string {
	m := map[string]string{}
	for _, i := range order {
		m[fmt.Sprintf("label-%d", i)] = fmt.Sprintf("value-%d", i)
	}
	return m
}

func TestOneInputHasOneTextForItsPolicyErrors(t *testing.T) {
	t.Parallel()
	order := make([]int, 50)
	for i := range order {
		order[i] = i
	}
	texts, digests := map[string]bool{}, map[string]bool{}
	for i := range 20 {
		// Another compiler each time, as after a restart.
		c, err := newClassifier(t, unsettled, classify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		turned := slices.Concat(order[i:], order[:i])
		if i%2 == 1 {
			slices.Reverse(turned)
		}
		in := classify.NewInput(now, signal("info", "shop", labels(turned)), &v1alpha1.EnrichedContext{NamespaceLabels: labels(turned)})
		classified, err := c.Classify(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		categorized, err := c.Categorize(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		texts[classified.PolicyError+" | "+categorized.PolicyError] = true
		digests[classified.InputSHA256] = true
	}
	want := "severity_evaluation: the policy could not be evaluated; environment_evaluation: the policy could not be evaluated | " +
		"priority_scale: the policy's answer is outside of its limits; business_answer: the policy's answer has another form"
	if len(texts) != 1 || !texts[want] {
		t.Errorf("texts %v, want only %q", texts, want)
	}
	if len(digests) != 1 {
		t.Errorf("%d digests of one input", len(digests))
	}
}
