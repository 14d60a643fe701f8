package enrich

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// sharedFor is how long signals share what was read about a namespace or a node.
	sharedFor = 5 * time.Second
	// maxShared bounds the namespaces and nodes that are remembered. One takes at most
	// a few hundred KiB.
	maxShared = 128
	// maxListed bounds the objects of a kind that are read in the namespace.
	maxListed = 500
)

// guards are the objects of a namespace that may protect or scale a target.
type guards struct {
	autoscalers []autoscaler
	budgets     []selecting
	policies    []selecting
}

type autoscaler struct{ name, kind, target string }

// selecting is an object that selects pods.
type selecting struct {
	name     string
	selector labels.Selector
}

// shared returns what is remembered under a key, or reads it. What does not exist is not
// remembered, and neither are errors.
func shared[T any](e *Enricher, key string, read func() (*T, error)) (*T, error) {
	if known, ok := e.memory.Get(key); ok {
		if value, ok := known.(*T); ok {
			return value, nil
		}
	}
	value, err := read()
	if err == nil && value != nil {
		e.memory.Add(key, value, sharedFor)
	}
	return value, err
}

// sharedNamespace returns a namespace with its labels and annotations; nil if there is none.
func (e *Enricher) sharedNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return shared(e, "namespace/"+name, func() (*corev1.Namespace, error) {
		namespace := &corev1.Namespace{}
		there, err := e.get(ctx, kindNamespace, client.ObjectKey{Name: name}, namespace)
		if err != nil || !there {
			return nil, err
		}
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace.Name, Labels: namespace.Labels, Annotations: namespace.Annotations}}, nil
	})
}

// sharedNode returns a node with its labels; nil if there is none.
func (e *Enricher) sharedNode(ctx context.Context, name string) (*corev1.Node, error) {
	return shared(e, "node/"+name, func() (*corev1.Node, error) {
		node := &corev1.Node{}
		there, err := e.get(ctx, "Node", client.ObjectKey{Name: name}, node)
		if err != nil || !there {
			return nil, err
		}
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels}}, nil
	})
}

// sharedGuards returns the guards of a namespace.
func (e *Enricher) sharedGuards(ctx context.Context, namespace string) (*guards, error) {
	return shared(e, "guards/"+namespace, func() (*guards, error) { return e.readGuards(ctx, namespace) })
}

func (e *Enricher) readGuards(ctx context.Context, namespace string) (*guards, error) {
	var autoscalers autoscalingv2.HorizontalPodAutoscalerList
	if err := e.list(ctx, namespace, "HorizontalPodAutoscalers", &autoscalers); err != nil {
		return nil, err
	}
	var budgets policyv1.PodDisruptionBudgetList
	if err := e.list(ctx, namespace, "PodDisruptionBudgets", &budgets); err != nil {
		return nil, err
	}
	var policies networkingv1.NetworkPolicyList
	if err := e.list(ctx, namespace, "NetworkPolicies", &policies); err != nil {
		return nil, err
	}
	g := &guards{}
	for i := range autoscalers.Items {
		ref := autoscalers.Items[i].Spec.ScaleTargetRef
		g.autoscalers = append(g.autoscalers, autoscaler{name: autoscalers.Items[i].Name, kind: ref.Kind, target: ref.Name})
	}
	for i := range budgets.Items {
		// In policy/v1 a missing selector selects nothing, an empty one everything.
		if selector := budgets.Items[i].Spec.Selector; selector != nil {
			g.budgets = add(g.budgets, budgets.Items[i].Name, selector)
		}
	}
	for i := range policies.Items {
		g.policies = add(g.policies, policies.Items[i].Name, &policies.Items[i].Spec.PodSelector)
	}
	return g, nil
}

func (e *Enricher) list(ctx context.Context, namespace, what string, into client.ObjectList) error {
	if err := e.reader.List(ctx, into, client.InNamespace(namespace), client.Limit(maxListed)); err != nil {
		return newError(what+" in namespace \""+namespace+"\"", err)
	}
	return nil
}

// add adds an object unless its selector cannot be parsed.
func add(all []selecting, name string, selector *metav1.LabelSelector) []selecting {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return all
	}
	return append(all, selecting{name: name, selector: parsed})
}
