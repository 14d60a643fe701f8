package target

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

const (
	// readTimeout bounds one read, which may serve several callers.
	readTimeout = 5 * time.Second
	// maxCached bounds the cache, in objects.
	maxCached = 20_000
	// existsFor is how long an object that exists is not read again. A pod of the
	// same name and another owner is noticed after that.
	existsFor = 10 * time.Minute
	// absentFor is how long an object that is missing, or that we may not read, is
	// not read again. One that is created is noticed after that.
	absentFor = 30 * time.Second
	// rememberFor is how long the owner of an object that is gone is remembered
	// after the last signal about it.
	rememberFor = time.Hour
)

// objectKey identifies an object in the cache.
type objectKey struct {
	schema.GroupVersionKind

	namespace, name string
	// withNode asks for the node of a pod, which is not in the metadata.
	withNode bool
}

// id is the key as text. The embedded kind has a String method of its own.
func (k objectKey) id() string {
	return fmt.Sprintf("%s/%s/%s/%s/%s/%t", k.Group, k.Version, k.Kind, k.namespace, k.name, k.withNode)
}

// facts are what was read of an object. They are immutable.
type facts struct {
	state rules.State
	// controller is the controlling owner; nil if there is none. If the object is
	// missing, it is that of its last life.
	controller *metav1.OwnerReference
	// remembered means that the object is missing and had this owner.
	remembered bool
	// node is the node that a pod runs on.
	node string
	read time.Time
}

func (f *facts) fresh(now time.Time) bool {
	age := now.Sub(f.read)
	if f.state == rules.Exists {
		return age < existsFor
	}
	return age < absentFor
}

// lookups reads objects. It is safe for concurrent use.
type lookups struct {
	reader client.Reader
	clock  clock.PassiveClock
	cached *cache.LRUExpireCache
	shared singleflight.Group
	reads  *prometheus.CounterVec
}

// get returns what is known about an object. An error means that the API server
// did not answer.
func (l *lookups) get(ctx context.Context, key objectKey) (*facts, error) {
	before := l.cachedFacts(key)
	if before != nil && before.fresh(l.clock.Now()) {
		return before, nil
	}
	// The read serves other callers, too: it must not end with the first one.
	detached := context.WithoutCancel(ctx)
	read := l.shared.DoChan(key.id(), func() (any, error) {
		ctx, cancel := context.WithTimeout(detached, readTimeout)
		defer cancel()
		return l.read(ctx, key, before)
	})
	select {
	case answer := <-read:
		if answer.Err != nil {
			return nil, answer.Err
		}
		found, _ := answer.Val.(*facts)
		return found, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("read %s %s: %w", key.Kind, key.name, ctx.Err())
	}
}

func (l *lookups) cachedFacts(key objectKey) *facts {
	cached, _ := l.cached.Get(key)
	found, _ := cached.(*facts)
	return found
}

// read reads an object and caches what it found.
func (l *lookups) read(ctx context.Context, key objectKey, before *facts) (*facts, error) {
	found := &facts{state: rules.Exists, read: l.clock.Now()}
	object := client.Object(&metav1.PartialObjectMetadata{})
	if key.withNode {
		object = &corev1.Pod{}
	}
	object.GetObjectKind().SetGroupVersionKind(key.GroupVersionKind)
	err := l.reader.Get(ctx, client.ObjectKey{Namespace: key.namespace, Name: key.name}, object)
	switch {
	case err == nil:
		found.controller = metav1.GetControllerOf(object)
		if pod, ok := object.(*corev1.Pod); ok {
			found.node = pod.Spec.NodeName
		}
	case apierrors.IsNotFound(err) && !meta.IsNoMatchError(err):
		found.state = rules.Missing
		if before != nil && (before.state == rules.Exists || before.remembered) {
			found.controller, found.node, found.remembered = before.controller, before.node, true
		}
	case apierrors.IsForbidden(err), meta.IsNoMatchError(err), apierrors.IsMethodNotSupported(err):
		found.state = rules.Unreadable
	default:
		l.reads.WithLabelValues("failed").Inc()
		return nil, fmt.Errorf("read %s %s: %w", key.Kind, key.name, err)
	}
	l.reads.WithLabelValues(found.state.String()).Inc()
	l.cached.Add(key, found, rememberFor)
	return found, nil
}
