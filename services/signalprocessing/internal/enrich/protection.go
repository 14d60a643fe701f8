package enrich

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"kubernaut.ai/api/v1alpha1"
)

// maxNamed bounds the names of a kind in a context.
const maxNamed = 16

// protection names the objects of the namespace that protect or scale the target.
func (e *Enricher) protection(ctx context.Context, namespace string, chain []link, found *v1alpha1.EnrichedContext) error {
	pods := podLabelsOf(chain)
	if pods == nil {
		return nil
	}
	g, err := e.sharedGuards(ctx, namespace)
	if err != nil {
		return err
	}
	for _, a := range g.autoscalers {
		if inChain(chain, a.kind, a.target) {
			name(&found.Protection.HorizontalPodAutoscalers, a.name)
		}
	}
	for _, b := range g.budgets {
		if b.selector.Matches(pods) {
			name(&found.Protection.PodDisruptionBudgets, b.name)
		}
	}
	for _, p := range g.policies {
		if p.selector.Matches(pods) {
			name(&found.Protection.NetworkPolicies, p.name)
		}
	}
	slices.Sort(found.Protection.HorizontalPodAutoscalers)
	slices.Sort(found.Protection.PodDisruptionBudgets)
	slices.Sort(found.Protection.NetworkPolicies)
	return nil
}

// podLabelsOf returns the pod labels of the target, or of the nearest workload that
// owns it.
func podLabelsOf(chain []link) labels.Set {
	for _, object := range chain {
		if set := podLabels(object.Object); set != nil {
			return set
		}
	}
	return nil
}

func inChain(chain []link, kind, name string) bool {
	return slices.ContainsFunc(chain, func(l link) bool {
		return l.kind == kind && l.GetName() == name
	})
}

func name(names *[]string, name string) {
	if len(*names) < maxNamed {
		*names = append(*names, name)
	}
}
