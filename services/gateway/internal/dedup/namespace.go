package dedup

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/signal"
)

const (
	maxNamespaces = 10_000
	// namespaceFor is how long it is remembered that a namespace exists. If it
	// goes away meanwhile, the creation of a request fails and says so.
	namespaceFor = time.Minute
	// noNamespaceFor is how long it is remembered that a namespace does not exist.
	noNamespaceFor = 5 * time.Second
)

// namespaceCache remembers which namespaces exist.
type namespaceCache struct{ exists *cache.LRUExpireCache }

func newNamespaceCache(c clock.PassiveClock) *namespaceCache {
	return &namespaceCache{cache.NewLRUExpireCacheWithClock(maxNamespaces, c)}
}

func (n *namespaceCache) forget(namespace string) { n.exists.Remove(namespace) }

// requestNamespace returns the namespace for the attempt's request: the target's
// if it exists, is not being deleted, and the Gateway watches it, else the
// Gateway's own.
func (a *attempt) requestNamespace(ctx context.Context) (string, error) {
	namespace := signal.Namespace(a.signal.Spec.TargetResource)
	if a.member != nil {
		namespace = a.member.namespace
	}
	if a.signal.Foreign || namespace == "" || a.namespaceIsGone || !a.watches(namespace) {
		return a.options.Namespace, nil
	}
	exists, err := a.namespaceExists(ctx, namespace)
	if err != nil || !exists {
		return a.options.Namespace, err
	}
	return namespace, nil
}

func (o *Opener) namespaceExists(ctx context.Context, namespace string) (bool, error) {
	if namespace == o.options.Namespace {
		return true, nil
	}
	if remembered, ok := o.namespaces.exists.Get(namespace); ok {
		exists, isBool := remembered.(bool)
		return isBool && exists, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := o.client.Get(ctx, client.ObjectKey{Name: namespace}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	exists := err == nil && object.DeletionTimestamp.IsZero()
	remember := noNamespaceFor
	if exists {
		remember = namespaceFor
	}
	o.namespaces.exists.Add(namespace, exists, remember)
	return exists, nil
}

func (o *Opener) watches(namespace string) bool {
	return len(o.watched) == 0 || o.watched.Has(namespace)
}

// namespaceGone reports whether a creation failed because its namespace does
// not exist or is being deleted.
func namespaceGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
