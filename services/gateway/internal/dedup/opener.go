package dedup

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// maxKnown bounds the memory of requests whose creation this replica has
	// recorded; one that falls out is recorded again, which is the same event.
	maxKnown = 10_000
	// maxRounds bounds how often a signal starts over because another replica
	// was faster. Each time one of them got ahead, so it is rarely more than two.
	maxRounds = 16
)

// ErrContended means that other replicas were faster again and again. It passes.
var ErrContended = errors.New("other replicas kept changing the request of this signal")

// Error is a signal that did not get its request. Unwrap tells why.
type Error struct {
	// Request is the name under which the signal is on the trail; zero where it is not.
	Request types.NamespacedName
	Err     error
}

// Error says what failed.
func (e *Error) Error() string { return "open request: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Trail records what happens to a signal, before it is answered. An error
// means that the event was not accepted; then the signal is not either.
type Trail interface {
	// Received is called before a request is created or a duplicate is folded.
	Received(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error
	// Created is called for a request that exists, at least once by each
	// replica that meets it; what it records must depend on the request's
	// identity and spec only.
	Created(ctx context.Context, request *v1alpha1.RemediationRequest) error
}

// Signal is a firing signal whose fingerprint is known.
type Signal struct {
	Spec *v1alpha1.RemediationRequestSpec
	// Foreign marks a target in another cluster: its namespace is not one of this cluster.
	Foreign bool
}

// Result is the request that a signal belongs to.
type Result struct {
	// Request is shared: it must not be changed.
	Request *v1alpha1.RemediationRequest
	// Created tells that this signal is the request's first one; else it is a duplicate.
	Created bool
}

// Options of an Opener; all fields are required unless they say otherwise.
type Options struct {
	// Cache is the informer cache, with the indexes of AddIndexes.
	Cache client.Reader
	// Client reads and writes without a cache.
	Client client.Client
	Clock  clock.PassiveClock
	// Namespace is the Gateway's own.
	Namespace string
	// Watched are the namespaces that requests may live in; all when empty.
	Watched []string
	// CoolDown is how long after its end a request still takes signals.
	CoolDown time.Duration
}

// Opener opens requests. It is safe for concurrent use, also by other
// processes: replicas agree through the API server.
type Opener struct {
	cache     client.Reader
	client    client.Client
	clock     clock.PassiveClock
	namespace string
	watched   sets.Set[string]
	coolDown  time.Duration

	registers *registers
	live      *liveReads
	known     *lru.Cache // UIDs of requests that are bound to their name and recorded
}

// NewOpener makes an Opener.
func NewOpener(o Options) *Opener {
	return &Opener{
		cache:     o.Cache,
		client:    o.Client,
		clock:     o.Clock,
		namespace: o.Namespace,
		watched:   sets.New(o.Watched...),
		coolDown:  o.CoolDown,
		registers: &registers{client: o.Client, namespace: o.Namespace, clock: o.Clock},
		live:      newLiveReads(o.Client),
		known:     lru.New(maxKnown),
	}
}

// Open returns the request of a signal, and creates it if there is none that
// takes the signal. When it returns without an error, the request exists and
// its creation is on the trail. The error is an *Error; calling again is safe.
func (o *Opener) Open(ctx context.Context, s Signal, trail Trail) (Result, error) {
	a := &opening{Opener: o, signal: s, trail: trail}
	result, err := a.open(ctx)
	if err != nil {
		return Result{}, &Error{Request: a.received, Err: err}
	}
	return result, nil
}

// Current finds the request that a resolved signal speaks of: the open one of
// its fingerprint; else the open one that began with the same target, whose
// owner nobody can tell any more once the target is gone; else the latest one
// of the fingerprint, which may be finished or deleted. The zero key means
// that there never was one.
func (o *Opener) Current(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (types.NamespacedName, error) {
	lookups := []struct{ index, value string }{
		{byFingerprint, spec.SignalFingerprint},
		{byTarget, targetKey(spec)},
	}
	for _, l := range lookups {
		proposed, err := propose(ctx, o.cache, l.index, l.value)
		if err != nil {
			return types.NamespacedName{}, err
		}
		if proposed == nil {
			continue
		}
		request, err := o.confirm(ctx, proposed)
		if err != nil {
			return types.NamespacedName{}, err
		}
		if request != nil {
			return client.ObjectKeyFromObject(request), nil
		}
	}
	r, found, err := o.registers.find(ctx, spec.SignalFingerprint)
	if err != nil || !found || r.lease.Spec.HolderIdentity == nil {
		return types.NamespacedName{}, err
	}
	return types.NamespacedName{Namespace: r.lease.Annotations[namespaceAnnotation], Name: *r.lease.Spec.HolderIdentity}, nil
}

// takes reports whether a request still takes signals.
func (o *Opener) takes(request *v1alpha1.RemediationRequest) bool {
	if !request.DeletionTimestamp.IsZero() {
		return false
	}
	if !request.Status.Phase.Terminal() {
		return true
	}
	end := request.CreationTimestamp.Time
	if request.Status.CompletedAt != nil {
		end = request.Status.CompletedAt.Time
	}
	return o.clock.Now().Before(end.Add(o.coolDown))
}

// confirm reads a request that the cache proposes. It returns nil when the
// request is not open any more, or another object has its name.
func (o *Opener) confirm(ctx context.Context, proposed *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error) {
	request, err := o.live.get(ctx, client.ObjectKeyFromObject(proposed))
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // the cache lagged behind
	case err != nil:
		return nil, fmt.Errorf("confirm open request: %w", err)
	case request.UID != proposed.UID || !open(request):
		return nil, nil //nolint:nilnil // the cache lagged behind
	default:
		return request, nil
	}
}
