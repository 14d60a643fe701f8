package podflush

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

// Kind is a kind of workload.
type Kind string

// The kinds that can be flushed.
const (
	Deployment  Kind = "deployment"
	StatefulSet Kind = "statefulset"
)

// Workload names a workload.
type Workload struct {
	Kind            Kind
	Namespace, Name string
	// AllowEmpty takes a workload that declares no replicas for flushed once it
	// has no pods. It is an error otherwise: to flush nothing proves nothing.
	AllowEmpty bool
}

// String is like "statefulset kubernaut/gateway".
func (w Workload) String() string { return fmt.Sprintf("%s %s/%s", w.Kind, w.Namespace, w.Name) }

func (w Workload) validate() error {
	var problems []string
	if w.Kind != Deployment && w.Kind != StatefulSet {
		problems = append(problems, fmt.Sprintf("kind %q: use %s or %s", w.Kind, Deployment, StatefulSet))
	}
	for _, p := range validation.IsDNS1123Label(w.Namespace) {
		problems = append(problems, fmt.Sprintf("namespace %q: %s", w.Namespace, p))
	}
	for _, p := range validation.IsDNS1123Subdomain(w.Name) {
		problems = append(problems, fmt.Sprintf("name %q: %s", w.Name, p))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func (w Workload) same(other Workload) bool {
	return w.Kind == other.Kind && w.Namespace == other.Namespace && w.Name == other.Name
}

// validateWorkloads wants at least one, and none twice.
func validateWorkloads(workloads []Workload) error {
	if len(workloads) == 0 {
		return errors.New("no workload is named")
	}
	for i, w := range workloads {
		if err := w.validate(); err != nil {
			return fmt.Errorf("workload %d: %w", i, err)
		}
		if slices.ContainsFunc(workloads[:i], w.same) {
			return fmt.Errorf("workload %d: %s is named twice", i, w)
		}
	}
	return nil
}

// declaration is what a workload declares and what its controller reports.
type declaration struct {
	uid                            types.UID
	generation, observedGeneration int64
	// replicas are declared, needUpdated of them must be of the newest template.
	replicas, needUpdated int32
	// existing, updated and ready are reported.
	existing, updated, ready int32
	deleted                  bool
	selector                 *metav1.LabelSelector
	// claimPrefixes and firstOrdinal say which claims belong to the replicas of a
	// stateful set.
	claimPrefixes []string
	firstOrdinal  int32
}

func declarationOf(object runtime.Object) (declaration, error) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		replicas := ptr.Deref(o.Spec.Replicas, 1)
		return declaration{
			uid: o.UID, generation: o.Generation, observedGeneration: o.Status.ObservedGeneration,
			replicas: replicas, needUpdated: replicas,
			existing: o.Status.Replicas, updated: o.Status.UpdatedReplicas, ready: o.Status.ReadyReplicas,
			deleted: o.DeletionTimestamp != nil, selector: o.Spec.Selector,
		}, nil
	case *appsv1.StatefulSet:
		replicas := ptr.Deref(o.Spec.Replicas, 1)
		d := declaration{
			uid: o.UID, generation: o.Generation, observedGeneration: o.Status.ObservedGeneration,
			replicas: replicas, needUpdated: needUpdated(replicas, &o.Spec.UpdateStrategy),
			existing: o.Status.Replicas, updated: o.Status.UpdatedReplicas, ready: o.Status.ReadyReplicas,
			deleted: o.DeletionTimestamp != nil, selector: o.Spec.Selector, claimPrefixes: claimPrefixes(o),
		}
		if o.Spec.Ordinals != nil {
			d.firstOrdinal = o.Spec.Ordinals.Start
		}
		return d, nil
	default:
		return declaration{}, fmt.Errorf("%T is no workload", object)
	}
}

// needUpdated leaves out the replicas that keep the old template on purpose.
func needUpdated(replicas int32, strategy *appsv1.StatefulSetUpdateStrategy) int32 {
	if strategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return 0
	}
	if strategy.RollingUpdate == nil {
		return replicas
	}
	return max(replicas-ptr.Deref(strategy.RollingUpdate.Partition, 0), 0)
}

func (d *declaration) podSelector() (string, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.selector)
	if err != nil {
		return "", fmt.Errorf("read selector: %w", err)
	}
	text := selector.String()
	if text == "" {
		return "", errors.New("its selector selects all pods, or none")
	}
	return text, nil
}

var errNotFound = errors.New("not found")

// declared reads a workload as it is now, and the version to watch it from. A
// list without a version is answered from the store, not from a cache.
func (f *Flusher) declared(ctx context.Context, w Workload) (declaration, string, error) {
	var objects []runtime.Object
	var version string
	switch w.Kind {
	case Deployment:
		list, err := f.apps.Deployments(w.Namespace).List(ctx, w.only())
		if err != nil {
			return declaration{}, "", fmt.Errorf("read it: %w", err)
		}
		version = list.ResourceVersion
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case StatefulSet:
		list, err := f.apps.StatefulSets(w.Namespace).List(ctx, w.only())
		if err != nil {
			return declaration{}, "", fmt.Errorf("read it: %w", err)
		}
		version = list.ResourceVersion
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	if len(objects) != 1 {
		return declaration{}, "", errNotFound
	}
	d, err := declarationOf(objects[0])
	return d, version, err
}

func (f *Flusher) watchDeclared(ctx context.Context, w Workload, version string) (watch.Interface, error) {
	options := w.only()
	options.ResourceVersion = version
	if w.Kind == Deployment {
		return f.apps.Deployments(w.Namespace).Watch(ctx, options) //nolint:wrapcheck // the caller does
	}
	return f.apps.StatefulSets(w.Namespace).Watch(ctx, options) //nolint:wrapcheck // the caller does
}

// only selects the workload: unlike a get, a list has a version that a watch can begin at.
func (w Workload) only() metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, w.Name).String()}
}
