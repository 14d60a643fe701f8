package enrich

import (
	"context"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// maxListed bounds the objects of a kind that are read in the namespace.
	maxListed = 500
	// maxNamed bounds the names of a kind in a context.
	maxNamed = 16
)

// protection names the objects of the namespace that protect or scale the target.
func (e *Enricher) protection(ctx context.Context, namespace string, chain []link, found *v1alpha1.EnrichedContext) error {
	pods := podLabelsOf(chain)
	if pods == nil {
		return nil
	}
	var autoscalers autoscalingv2.HorizontalPodAutoscalerList
	if err := e.list(ctx, namespace, "HorizontalPodAutoscalers", &autoscalers); err != nil {
		return err
	}
	var budgets policyv1.PodDisruptionBudgetList
	if err := e.list(ctx, namespace, "PodDisruptionBudgets", &budgets); err != nil {
		return err
	}
	var policies networkingv1.NetworkPolicyList
	if err := e.list(ctx, namespace, "NetworkPolicies", &policies); err != nil {
		return err
	}
	for i := range autoscalers.Items {
		ref := autoscalers.Items[i].Spec.ScaleTargetRef
		if inChain(chain, ref.Kind, ref.Name) {
			name(&found.Protection.HorizontalPodAutoscalers, &autoscalers.Items[i])
		}
	}
	for i := range budgets.Items {
		// In policy/v1 a missing selector selects nothing, an empty one everything.
		if selector := budgets.Items[i].Spec.Selector; selector != nil && selects(*selector, pods) {
			name(&found.Protection.PodDisruptionBudgets, &budgets.Items[i])
		}
	}
	for i := range policies.Items {
		if selects(policies.Items[i].Spec.PodSelector, pods) {
			name(&found.Protection.NetworkPolicies, &policies.Items[i])
		}
	}
	slices.Sort(found.Protection.HorizontalPodAutoscalers)
	slices.Sort(found.Protection.PodDisruptionBudgets)
	slices.Sort(found.Protection.NetworkPolicies)
	return nil
}

func (e *Enricher) list(ctx context.Context, namespace, what string, into client.ObjectList) error {
	if err := e.reader.List(ctx, into, client.InNamespace(namespace), client.Limit(maxListed)); err != nil {
		return newError(what+" in namespace \""+namespace+"\"", err)
	}
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

func selects(selector metav1.LabelSelector, pods labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(&selector)
	return err == nil && s.Matches(pods)
}

func name(names *[]string, o client.Object) {
	if len(*names) < maxNamed {
		*names = append(*names, o.GetName())
	}
}
