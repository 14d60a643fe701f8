package enrich

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// maxOwners bounds the owner chain; a cycle of owners ends there too.
const maxOwners = 10

// Enricher reads the context of targets. It is safe for concurrent use.
type Enricher struct {
	reader client.Reader
	memory *cache.LRUExpireCache
}

// New makes an Enricher that reads from reader, which should not be a cache (see
// the package comment).
func New(reader client.Reader, passive clock.PassiveClock) *Enricher {
	return &Enricher{reader: reader, memory: cache.NewLRUExpireCacheWithClock(maxShared, passive)}
}

// Enrich returns the context of the target. The error is an *Error, or wraps
// ctx.Err() if ctx has ended.
func (e *Enricher) Enrich(ctx context.Context, target v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error) {
	found := &v1alpha1.EnrichedContext{}
	namespace, err := e.namespace(ctx, target, found)
	if err != nil {
		return nil, e.cause(ctx, err)
	}
	chain, err := e.chain(ctx, target, found)
	if err != nil {
		return nil, e.cause(ctx, err)
	}
	if err := e.node(ctx, chain, found); err != nil {
		return nil, e.cause(ctx, err)
	}
	if namespace != nil && len(chain) > 0 {
		if err := e.protection(ctx, namespace.Name, chain, found); err != nil {
			return nil, e.cause(ctx, err)
		}
	}
	objects := chain
	if namespace != nil {
		objects = append(objects, link{kind: kindNamespace, Object: namespace})
	}
	found.Protection.ServiceMesh = serviceMesh(objects)
	found.Protection.GitOpsTool = gitOpsTool(objects)
	return found, nil
}

// Outside reports whether the context of a target shows more than what is in a namespace.
func Outside(namespace string, target v1alpha1.TargetResource) bool {
	switch {
	case target.Kind == kindNamespace:
		return target.Name != namespace
	case clusterScoped(target.Kind):
		return true
	}
	return target.Namespace != "" && target.Namespace != namespace
}

// cause returns the error of ctx if it has ended, since that is why a read failed.
func (e *Enricher) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("enrich: %w", ctx.Err())
	}
	return err
}

// link is the target or one of its owners.
type link struct {
	client.Object

	kind string
}

// get reads an object and reports whether it exists.
func (e *Enricher) get(ctx context.Context, kind string, key client.ObjectKey, into client.Object) (bool, error) {
	err := e.reader.Get(ctx, key, into)
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err):
		return false, nil
	default:
		return false, newError(describe(kind, key), err)
	}
}

func describe(kind string, key client.ObjectKey) string {
	if key.Namespace == "" {
		return fmt.Sprintf("%s %q", kind, key.Name)
	}
	return fmt.Sprintf("%s %q in namespace %q", kind, key.Name, key.Namespace)
}

// degradef marks the context as degraded. The first reason is kept.
func degradef(found *v1alpha1.EnrichedContext, format string, args ...any) {
	if !found.Degraded {
		found.Degraded, found.DegradedReason = true, fmt.Sprintf(format, args...)
	}
}

// namespace reads the target's namespace; nil if there is none.
func (e *Enricher) namespace(ctx context.Context, target v1alpha1.TargetResource, found *v1alpha1.EnrichedContext) (*corev1.Namespace, error) {
	name := target.Namespace
	switch {
	case target.Kind == kindNamespace:
		name = target.Name
	case name == "" || clusterScoped(target.Kind):
		return nil, nil //nolint:nilnil // a cluster-scoped target has no namespace
	}
	namespace, err := e.sharedNamespace(ctx, name)
	if err != nil {
		return nil, err
	}
	if namespace == nil {
		degradef(found, "namespace %q does not exist", name)
		return nil, nil //nolint:nilnil // reported as degraded
	}
	found.NamespaceLabels = bounded(namespace.Labels)
	found.NamespaceAnnotations = businessAnnotations(namespace.Annotations)
	return namespace, nil
}

// chain reads the target and its owners, nearest first. It is empty if the target
// does not exist.
func (e *Enricher) chain(ctx context.Context, target v1alpha1.TargetResource, found *v1alpha1.EnrichedContext) ([]link, error) {
	object := newObject(target.Kind)
	switch {
	case object == nil:
		degradef(found, "kind %q is not supported", target.Kind)
		return nil, nil
	case clusterScoped(target.Kind):
		target.Namespace = ""
	case target.Namespace == "":
		degradef(found, "the signal names no namespace for %s %q", target.Kind, target.Name)
		return nil, nil
	}
	key := client.ObjectKey{Namespace: target.Namespace, Name: target.Name}
	there, err := e.get(ctx, target.Kind, key, object)
	if err != nil {
		return nil, err
	}
	if !there {
		degradef(found, "%s does not exist", describe(target.Kind, key))
		return nil, nil
	}
	found.TargetLabels = bounded(object.GetLabels())
	return e.owners(ctx, link{kind: target.Kind, Object: object}, found)
}

// owners follows the controller references. The chain ends with the name of an
// owner that is gone or of a kind that the service does not read.
func (e *Enricher) owners(ctx context.Context, object link, found *v1alpha1.EnrichedContext) ([]link, error) {
	chain := []link{object}
	for len(found.OwnerChain) < maxOwners {
		ref := metav1.GetControllerOf(object)
		if ref == nil {
			return chain, nil
		}
		found.OwnerChain = append(found.OwnerChain, v1alpha1.OwnerReference{Kind: ref.Kind, Name: ref.Name})
		owner := newObject(ref.Kind)
		if owner == nil || schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group != groupOf(ref.Kind) {
			return chain, nil
		}
		key := client.ObjectKey{Namespace: object.GetNamespace(), Name: ref.Name}
		if clusterScoped(ref.Kind) {
			key.Namespace = ""
		}
		there, err := e.get(ctx, ref.Kind, key, owner)
		if err != nil {
			return nil, err
		}
		if !there || owner.GetUID() != ref.UID {
			return chain, nil
		}
		object = link{kind: ref.Kind, Object: owner}
		chain = append(chain, object)
	}
	return chain, nil
}

// node reads the node that the target runs on. If the node is gone, only its name is known.
func (e *Enricher) node(ctx context.Context, chain []link, found *v1alpha1.EnrichedContext) error {
	if len(chain) == 0 {
		return nil
	}
	found.NodeName = nodeOf(chain[0].Object)
	if found.NodeName == "" {
		return nil
	}
	if node, ok := chain[0].Object.(*corev1.Node); ok {
		found.NodeLabels = bounded(node.Labels)
		return nil
	}
	node, err := e.sharedNode(ctx, found.NodeName)
	if err != nil {
		return err
	}
	if node != nil {
		found.NodeLabels = bounded(node.Labels)
	}
	return nil
}
