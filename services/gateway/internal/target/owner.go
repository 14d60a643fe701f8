package target

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// maxDepth bounds the length of the owner chain, in case references form a cycle.
	maxDepth = 10
	// maxCached bounds the cache, in targets.
	maxCached = 10_000
	// cacheFor is how long an owner is cached. The controller of an object
	// hardly ever changes, and a cached owner still identifies signals about a
	// pod that is gone.
	cacheFor = 10 * time.Minute
)

// Resolver looks up top owners. It is safe for concurrent use.
type Resolver struct {
	reader client.Reader
	owners *cache.LRUExpireCache
}

// NewResolver returns a resolver that reads from the API server.
func NewResolver(reader client.Reader, c clock.PassiveClock) *Resolver {
	return &Resolver{reader: reader, owners: cache.NewLRUExpireCacheWithClock(maxCached, c)}
}

// Top returns the top controlling owner of a target. A target that does not
// exist, or whose kind this package does not know, is its own owner. An error
// means that the API server did not answer; trying again may help.
func (r *Resolver) Top(ctx context.Context, target v1alpha1.TargetResource) (v1alpha1.TargetResource, error) {
	kind, known := kindOf(target.Kind)
	if !known || target.Namespace == "" {
		return target, nil
	}
	if cached, ok := r.owners.Get(target); ok {
		if top, ok := cached.(v1alpha1.TargetResource); ok {
			return top, nil
		}
	}
	top := target
	found := false
	for range maxDepth {
		object, err := r.get(ctx, kind, top)
		if err != nil {
			return v1alpha1.TargetResource{}, fmt.Errorf("owner of %s %s: %w", target.Kind, target.Name, err)
		}
		if object == nil {
			break
		}
		found = true
		controller := metav1.GetControllerOf(object)
		// A static pod is controlled by its Node, which is not a workload.
		if controller == nil || controller.Kind == nodeKind {
			break
		}
		kind = schema.FromAPIVersionAndKind(controller.APIVersion, controller.Kind)
		top = v1alpha1.TargetResource{Kind: controller.Kind, Name: controller.Name, Namespace: top.Namespace}
	}
	if found {
		r.owners.Add(target, top, cacheFor)
	}
	return top, nil
}

// get returns nil for an object that does not exist or that we are not allowed to read.
func (r *Resolver) get(ctx context.Context, kind schema.GroupVersionKind, t v1alpha1.TargetResource) (*metav1.PartialObjectMetadata, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Name}, object)
	switch {
	case err == nil:
		return object, nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), meta.IsNoMatchError(err):
		return nil, nil //nolint:nilnil // nothing to read, which is not a failure
	default:
		return nil, fmt.Errorf("get %s %s: %w", kind.Kind, t.Name, err)
	}
}
