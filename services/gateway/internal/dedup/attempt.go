package dedup

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/services/gateway/internal/quota"
)

// creatorPatience is how long an attempt waits, from one look to the next, for
// the request of an opening that another replica has begun.
func creatorPatience() []time.Duration {
	return []time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond}
}

// creatorTimeout is the age of an opening beyond which nobody waits for its creator.
const creatorTimeout = 10 * time.Second

// attempt is one call of Open.
type attempt struct {
	*Opener

	signal Signal
	trail  Trail
	// member is the signal that does not get a request of its own, if this attempt
	// is about the overflow request of a namespace.
	member *member

	// received is the request under which the signal has been recorded already.
	received types.NamespacedName
	// proposed are the requests of the fingerprint that the cache had when the
	// turn began: they existed before the register was read.
	proposed []v1alpha1.RemediationRequest
	// namespaceIsGone is set when the target's namespace went away during the attempt.
	namespaceIsGone bool
	// waited is how often the attempt has waited for the creator of waitedFor.
	waited    int
	waitedFor types.NamespacedName
	// reservation is the place of the request that this attempt opens; may be nil.
	reservation *quota.Reservation
}

func (a *attempt) fingerprint() string { return a.signal.Spec.SignalFingerprint }

// run adds the signal to a request that this replica knows, or takes a turn
// at the register. Attempts that wait for a turn start over when it has ended.
func (a *attempt) run(ctx context.Context) (Result, error) {
	for {
		request, err := a.knownCurrent(ctx, a.fingerprint(), a.signal.Spec.FiringTime.Time)
		if err != nil || request != nil {
			return Result{Request: request}, err
		}
		if request, err = a.knownRelated(ctx); err != nil || request != nil {
			return Result{Request: request}, err
		}
		end, taken, err := a.turns.take(ctx, a.fingerprint())
		if err != nil {
			return Result{}, err
		}
		if taken {
			defer end()
			return a.turn(ctx)
		}
	}
}

// turn works on the register until the signal has a request.
func (a *attempt) turn(ctx context.Context) (Result, error) {
	defer a.releaseReservation()
	var err error
	if a.proposed, err = proposals(ctx, a.cache, byFingerprint, a.fingerprint()); err != nil {
		return Result{}, err
	}
	if result, err := a.related(ctx); err != nil || result.Request != nil {
		return result, err
	}
	if !a.known.registered(a.fingerprint()) && !a.prepared.has(a.fingerprint()) && len(a.proposed) == 0 {
		// Most likely the first signal of its problem: the register has nothing to read.
		if result, err := a.openFirst(ctx); err != nil || result.Request != nil {
			return result, err
		}
	}
	for range maxRounds {
		result, err := a.round(ctx)
		if err != nil || result.Request != nil {
			return result, err
		}
	}
	return Result{}, ErrContended
}

// round reads the register and takes one step. It returns no result if another
// replica came first, or if the next round has to look again.
func (a *attempt) round(ctx context.Context) (Result, error) {
	r, found, err := a.register.Find(ctx, a.fingerprint())
	if err != nil {
		return Result{}, err //nolint:wrapcheck // names the lease
	}
	if !found {
		return a.openFirst(ctx)
	}
	if err := a.takeBackLate(ctx, r); err != nil {
		return Result{}, err
	}
	if r.State() == signalregister.Closed {
		return a.openNext(ctx, r)
	}
	request, err := a.live.get(ctx, r.Request())
	switch {
	case apierrors.IsNotFound(err):
		return a.missing(ctx, r)
	case err != nil:
		return Result{}, fmt.Errorf("read the signal's request: %w", err)
	case !r.Names(request):
		return a.taken(ctx, r)
	}
	if !a.existed(request) {
		// It may have been created late, after the register was read.
		if r, found, err = a.register.Find(ctx, a.fingerprint()); err != nil || !found || !r.Names(request) {
			return Result{}, err //nolint:wrapcheck // names the lease
		}
	}
	return a.join(ctx, r, request)
}

// existed reports whether a request existed before the register was read.
func (a *attempt) existed(request *v1alpha1.RemediationRequest) bool {
	return a.known.has(request) || slices.ContainsFunc(a.proposed, func(p v1alpha1.RemediationRequest) bool { return p.UID == request.UID })
}

// join adds the signal to the register's request, which existed before the
// register was read, or opens the next one if that request takes no more signals.
func (a *attempt) join(ctx context.Context, r signalregister.Record, request *v1alpha1.RemediationRequest) (Result, error) {
	if r.State() == signalregister.Closed || !a.takesSignals(request, a.signal.Spec.FiringTime.Time) {
		// Its creator may have died before it recorded the creation.
		if err := a.recordCreated(ctx, request); err != nil {
			return Result{}, err
		}
		return a.openNext(ctx, r)
	}
	if r.State() == signalregister.Suspect {
		if _, err := a.register.Reinstate(ctx, r); err != nil {
			return Result{}, ignoreOutpaced(err)
		}
	}
	if err := a.recordCreated(ctx, request); err != nil {
		return Result{}, err
	}
	return Result{Request: request}, nil
}

// taken takes one step for a register under whose name somebody else created an
// object. Nobody relies on that one, but the creator may still create its own,
// if the object is removed.
func (a *attempt) taken(ctx context.Context, r signalregister.Record) (Result, error) {
	if r.State() == signalregister.Suspect {
		return a.openNext(ctx, r)
	}
	_, err := a.register.Suspect(ctx, r)
	return Result{}, ignoreOutpaced(err)
}

// missing takes one step for a register whose request does not exist: it is
// about to be created, its creator died, or it was removed without closing the
// register.
func (a *attempt) missing(ctx context.Context, r signalregister.Record) (Result, error) {
	if request := a.prepared.request(r); request != nil {
		if result, err := a.reserve(ctx, request.Namespace); err != nil || result.Request != nil {
			return result, err
		}
		return a.create(ctx, r, request)
	}
	if a.waitedFor != r.Request() {
		a.waited, a.waitedFor = 0, r.Request()
	}
	switch {
	case r.State() == signalregister.Suspect, a.known.existed(a.fingerprint(), r.Request()):
		// Nobody relies on it: its creator looks at the register after the
		// creation, or it existed and is gone.
		return a.openNext(ctx, r)
	case a.waited < len(a.patience) && a.clock.Since(r.OpenedAt()) < creatorTimeout:
		a.waited++
		return Result{}, a.wait(ctx, a.patience[a.waited-1])
	default:
		_, err := a.register.Suspect(ctx, r)
		return Result{}, ignoreOutpaced(err)
	}
}

func (o *Opener) wait(ctx context.Context, d time.Duration) error {
	timer := o.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the creator of the signal's request: %w", ctx.Err())
	}
}

// recordCreated records the creation of a request, once by each replica.
func (a *attempt) recordCreated(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	if a.known.has(request) {
		return nil
	}
	if err := a.trail.Created(ctx, request); err != nil {
		return fmt.Errorf("record creation of %s: %w", request.Name, err)
	}
	a.known.add(request)
	return nil
}
