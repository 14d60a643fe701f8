package dedup

import (
	"context"
	"errors"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/services/gateway/internal/quota"
)

// maxRounds bounds how often an attempt starts over because another replica came
// first. Each time, that one made progress, so more than two are rare.
const maxRounds = 16

// ErrContended means that other replicas came first in every round. It is transient.
var ErrContended = errors.New("other replicas kept changing the request of this signal")

// Error means that a signal got no request. Unwrap returns the cause.
type Error struct {
	// Request is the request under which the signal was recorded as received; zero if it was not.
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

// Overflows is told of signals that get no request because of a bound.
type Overflows interface {
	// Exceeded is called before the signal's result is returned. An error means
	// that the signal is not accepted.
	Exceeded(ctx context.Context, overflow *v1alpha1.RemediationRequest, why *quota.ExceededError) error
}

// Signal is a firing signal whose fingerprint is known.
type Signal struct {
	Spec *v1alpha1.RemediationRequestSpec
	// Foreign marks a target in another cluster, whose namespaces are unknown here.
	Foreign bool
	// Sender is who sent the signal; empty if nobody can tell.
	Sender string
}

// Result is the request that a signal belongs to.
type Result struct {
	// Request is shared: it must not be changed.
	Request *v1alpha1.RemediationRequest
	// Created is true if this signal created the request, and false for a duplicate.
	Created bool
	// Overflow is true if as many requests are open as may be: then Request is
	// the overflow request of the signal's namespace, and the signal a member of it.
	Overflow bool
}

// Options of an Opener. All fields are required unless stated otherwise.
type Options struct {
	// Cache is the informer cache, with the indexes of AddIndexes.
	Cache client.Reader
	// Client reads and writes without a cache.
	Client client.Client
	Clock  clock.Clock
	// Random is the source of request names; it must be safe for concurrent use.
	Random io.Reader
	Quota  *quota.Quota
	// Overflows is told which signals exceed the quota.
	Overflows Overflows
	// Namespace is the Gateway's own.
	Namespace string
	// Cluster is the name of the Gateway's cluster; may be empty.
	Cluster string
	// Watched are the namespaces in which requests may be created; empty means all.
	Watched []string
	// CoolDown is how long a finished request still takes signals.
	CoolDown time.Duration
}

// Opener opens requests. It is safe for concurrent use; replicas coordinate
// through the API server.
type Opener struct {
	options Options
	cache   client.Reader
	client  client.Client
	clock   clock.Clock
	watched sets.Set[string]

	register   *signalregister.Register
	live       *liveReads
	known      *knownRequests
	turns      *turns
	prepared   *preparedOpenings
	namespaces *namespaceCache
	// patience is how long attempts wait for a creator, from look to look.
	patience []time.Duration
}

// NewOpener returns an Opener.
func NewOpener(o Options) *Opener {
	return &Opener{
		options: o,
		cache:   o.Cache,
		client:  o.Client,
		clock:   o.Clock,
		watched: sets.New(o.Watched...),
		register: signalregister.New(signalregister.Options{
			Reader: o.Client, Writer: o.Client, Namespace: o.Namespace, Clock: o.Clock, Random: o.Random,
		}),
		live:       newLiveReads(o.Client, o.Clock, readInterval),
		known:      newKnownRequests(),
		turns:      newTurns(),
		prepared:   newPreparedOpenings(),
		namespaces: newNamespaceCache(o.Clock),
		patience:   creatorPatience(),
	}
}

// Open returns the request of a signal, and creates one if no existing request
// takes the signal. If it returns no error, the request exists and its creation
// is recorded. The error is an *Error; calling again is safe.
func (o *Opener) Open(ctx context.Context, s Signal, trail Trail) (Result, error) {
	o.options.Quota.Seen(s.Sender)
	a := &attempt{Opener: o, signal: s, trail: trail}
	result, err := a.run(ctx)
	if err != nil {
		return Result{}, &Error{Request: a.received, Err: err}
	}
	return result, nil
}

// takesSignals reports whether a request still takes signals that began to fire at a time.
// A finished request takes none that began after its remediation: that would hide that the
// remediation did not last.
func (o *Opener) takesSignals(request *v1alpha1.RemediationRequest, firing time.Time) bool {
	if !request.DeletionTimestamp.IsZero() {
		return false
	}
	if !request.Status.Phase.Terminal() {
		return true
	}
	if remediated := request.Status.RemediatedAt; remediated != nil && firing.After(remediated.Time) {
		return false
	}
	end := request.CreationTimestamp.Time
	if request.Status.CompletedAt != nil {
		end = request.Status.CompletedAt.Time
	}
	return o.clock.Now().Before(end.Add(o.options.CoolDown))
}

// ignoreOutpaced drops the error of a write that came too late: the next round
// reads the new state.
func ignoreOutpaced(err error) error {
	if signalregister.Outpaced(err) {
		return nil
	}
	return err
}
