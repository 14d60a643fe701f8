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
	// maxRecorded bounds the memory of requests whose creation this replica has
	// recorded. One that is evicted is recorded again, with the same event id.
	maxRecorded = 10_000
	// maxRounds bounds how often an attempt starts over because another replica
	// came first. Each time, that one made progress, so more than two are rare.
	maxRounds = 16
)

// ErrContended means that other replicas came first in every round. It is transient.
var ErrContended = errors.New("other replicas kept changing the request of this signal")

// Error means that a signal got no request. Unwrap returns the cause.
type Error struct {
	// Request is the request under which the signal was recorded; zero if it was not.
	Request types.NamespacedName
	Err     error
}

// Error says what failed.
func (e *Error) Error() string { return "open request: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Trail records the audit events of a signal. An error means that the event was
// not accepted; then the signal is not accepted either.
type Trail interface {
	// Received is called before the signal creates a request.
	Received(ctx context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error
	// Created is called for a request that exists, at least once by each
	// replica that adds a signal to it. The event must depend on the request's
	// identity and spec only.
	Created(ctx context.Context, request *v1alpha1.RemediationRequest) error
}

// Signal is a firing signal whose fingerprint is known.
type Signal struct {
	Spec *v1alpha1.RemediationRequestSpec
	// Foreign marks a target in another cluster, whose namespaces are unknown here.
	Foreign bool
	// Denied means that the cluster denied the problem's request the last time.
	// Then the API server is asked in a dry run, before anything is recorded.
	Denied bool
}

// Found is the request that a resolved signal belongs to.
type Found struct {
	// Key names the request; it is zero if there never was one.
	Key types.NamespacedName
	// Request is nil if the request does not exist any more. It is shared: it must not be changed.
	Request *v1alpha1.RemediationRequest
}

// Result is the request that a signal belongs to.
type Result struct {
	// Request is shared: it must not be changed.
	Request *v1alpha1.RemediationRequest
	// Created is true if this signal created the request, and false for a duplicate.
	Created bool
}

// Options of an Opener. All fields are required unless stated otherwise.
type Options struct {
	// Cache is the informer cache, with the indexes of AddIndexes.
	Cache client.Reader
	// Client reads and writes without a cache.
	Client client.Client
	Clock  clock.PassiveClock
	// Namespace is the Gateway's own.
	Namespace string
	// Watched are the namespaces in which requests may be created; empty means all.
	Watched []string
	// CoolDown is how long a finished request still takes signals.
	CoolDown time.Duration
}

// Opener opens requests. It is safe for concurrent use; replicas coordinate
// through the API server.
type Opener struct {
	cache     client.Reader
	client    client.Client
	clock     clock.PassiveClock
	namespace string
	watched   sets.Set[string]
	coolDown  time.Duration

	leases   *leaseRecords
	live     *liveReads
	recorded *lru.Cache // UIDs of requests that are bound to their name and whose creation is recorded
}

// NewOpener returns an Opener.
func NewOpener(o Options) *Opener {
	return &Opener{
		cache:     o.Cache,
		client:    o.Client,
		clock:     o.Clock,
		namespace: o.Namespace,
		watched:   sets.New(o.Watched...),
		coolDown:  o.CoolDown,
		leases:    &leaseRecords{client: o.Client, namespace: o.Namespace, clock: o.Clock},
		live:      newLiveReads(o.Client),
		recorded:  lru.New(maxRecorded),
	}
}

// Open returns the request of a signal, and creates one if no existing request
// takes the signal. If it returns no error, the request exists and its creation
// is recorded. The error is an *Error; calling again is safe.
func (o *Opener) Open(ctx context.Context, s Signal, trail Trail) (Result, error) {
	a := &attempt{Opener: o, signal: s, trail: trail}
	result, err := a.run(ctx)
	if err != nil {
		return Result{}, &Error{Request: a.received, Err: err}
	}
	return result, nil
}

// Current returns the request that a resolved signal belongs to: the open one of
// its fingerprint; else the open one with the same target, because the owner of
// a target that is gone is unknown, and with it the fingerprint; else the latest
// one of the fingerprint, which may be finished or deleted.
func (o *Opener) Current(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (Found, error) {
	lookups := []struct{ index, value string }{
		{byFingerprint, spec.SignalFingerprint},
		{byTarget, targetKey(spec)},
	}
	for _, l := range lookups {
		proposed, err := proposals(ctx, o.cache, l.index, l.value)
		if err != nil {
			return Found{}, err
		}
		if len(proposed) == 0 {
			continue
		}
		request, err := o.confirm(ctx, &proposed[0])
		if err != nil {
			return Found{}, err
		}
		if request != nil {
			return Found{client.ObjectKeyFromObject(request), request}, nil
		}
	}
	r, found, err := o.leases.find(ctx, spec.SignalFingerprint)
	if err != nil || !found {
		return Found{}, err
	}
	key := r.latest()
	if key.Name == "" {
		return Found{}, nil
	}
	request, err := o.live.get(ctx, key)
	if err != nil && !apierrors.IsNotFound(err) {
		return Found{}, fmt.Errorf("read the signal's latest request: %w", err)
	}
	return Found{key, request}, nil
}

// takesSignals reports whether a request still takes signals.
func (o *Opener) takesSignals(request *v1alpha1.RemediationRequest) bool {
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

// confirm reads a request that the cache proposes. It returns nil if the request
// is not open any more, or if another object has its name.
func (o *Opener) confirm(ctx context.Context, proposed *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error) {
	request, err := o.live.get(ctx, client.ObjectKeyFromObject(proposed))
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // the cache lags behind
	case err != nil:
		return nil, fmt.Errorf("confirm open request: %w", err)
	case request.UID != proposed.UID || !open(request):
		return nil, nil //nolint:nilnil // the cache lags behind
	default:
		return request, nil
	}
}
