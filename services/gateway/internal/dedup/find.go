package dedup

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/services/gateway/internal/signal"
)

// knownCurrent returns the request that this replica knows under a fingerprint,
// or nil if it knows none that still takes signals that began to fire at a time. The read
// is shared with other calls.
func (o *Opener) knownCurrent(ctx context.Context, fingerprint string, firing time.Time) (*v1alpha1.RemediationRequest, error) {
	known, ok := o.known.get(fingerprint)
	if !ok {
		return nil, nil //nolint:nilnil // none is known
	}
	request, err := o.live.get(ctx, known.key)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // it was removed
	case err != nil:
		return nil, fmt.Errorf("read the signal's request: %w", err)
	case request.UID != known.uid || !o.takesSignals(request, firing):
		return nil, nil //nolint:nilnil // it has ended
	default:
		return request, nil
	}
}

// related finds the open request of a signal whose owner is not what it was when
// the request was opened: usually the pod is gone, so that nobody knows its
// owner. It has the same target and name, or the same instance fires in it. The
// request has another fingerprint. It returns no result if there is none.
func (a *attempt) related(ctx context.Context) (Result, error) {
	if a.member != nil {
		return Result{}, nil
	}
	for i := range a.proposed {
		if open(&a.proposed[i]) {
			return Result{}, nil
		}
	}
	request, err := a.relatedRequest(ctx, a.signal.Spec, a.named)
	if err != nil || request == nil {
		return Result{}, err
	}
	if err := a.recordCreated(ctx, request); err != nil {
		return Result{}, err
	}
	return Result{Request: request}, nil
}

// knownRelated returns the request that related would find, if this replica knows
// it. It needs no turn: its read is shared with other calls.
func (a *attempt) knownRelated(ctx context.Context) (*v1alpha1.RemediationRequest, error) {
	if a.member != nil {
		return nil, nil //nolint:nilnil // overflow requests have no relatives
	}
	own, err := proposals(ctx, a.cache, byFingerprint, a.fingerprint())
	if err != nil {
		return nil, err
	}
	for i := range own {
		if open(&own[i]) {
			return nil, nil //nolint:nilnil // this one comes first
		}
	}
	return a.relatedRequest(ctx, a.signal.Spec, a.knownOpen)
}

// relatedRequest returns the first request with the target or an instance of a
// signal, and another fingerprint, that is usable; nil if there is none.
func (o *Opener) relatedRequest(ctx context.Context, spec *v1alpha1.RemediationRequestSpec, usable usableFunc) (*v1alpha1.RemediationRequest, error) {
	for _, lookup := range []struct{ index, value string }{
		{byTarget, targetKey(spec)},
		{byInstance, signal.InstanceID(spec.Labels)},
	} {
		proposed, err := proposals(ctx, o.cache, lookup.index, lookup.value)
		if err != nil {
			return nil, err
		}
		for i := range proposed {
			if proposed[i].Spec.SignalFingerprint == spec.SignalFingerprint {
				continue
			}
			request, err := usable(ctx, &proposed[i])
			if err != nil || request != nil {
				return request, err
			}
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// usableFunc returns a proposed request as it is, or nil if it takes no signals.
type usableFunc func(ctx context.Context, proposed *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error)

// knownOpen returns a proposed request as it is, or nil unless it is open and
// this replica knows it.
func (o *Opener) knownOpen(ctx context.Context, proposed *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error) {
	if !o.known.has(proposed) {
		return nil, nil //nolint:nilnil // the register has to be asked
	}
	request, err := o.knownCurrent(ctx, proposed.Spec.SignalFingerprint, time.Time{})
	if err != nil || request == nil || !open(request) {
		return nil, err
	}
	return request, nil
}

// named returns a proposed request as it is, or nil unless it is open and the
// register names it: requests that somebody created by hand take no signals.
func (o *Opener) named(ctx context.Context, proposed *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error) {
	if o.known.has(proposed) {
		return o.knownOpen(ctx, proposed)
	}
	r, found, err := o.register.Find(ctx, proposed.Spec.SignalFingerprint)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the lease
	}
	key := client.ObjectKeyFromObject(proposed)
	if !found || r.State() != signalregister.Open || r.Request() != key {
		return nil, nil //nolint:nilnil // not the register's
	}
	request, err := o.live.get(ctx, key)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // it was removed
	case err != nil:
		return nil, fmt.Errorf("read a request with the signal's target: %w", err)
	case !open(request) || !r.Names(request):
		return nil, nil //nolint:nilnil // not the register's, or ended
	default:
		return request, nil
	}
}

// Found is the request that a resolved signal belongs to.
type Found struct {
	// Key names the request; it is zero if there never was one.
	Key types.NamespacedName
	// Request is nil if the request does not exist any more. It is shared: it must not be changed.
	Request *v1alpha1.RemediationRequest
}

func existing(request *v1alpha1.RemediationRequest) Found {
	return Found{client.ObjectKeyFromObject(request), request}
}

// Current returns the request that a resolved signal belongs to: the open one of
// its fingerprint; else the open one with the same target or instance; else the
// latest one of the fingerprint, which may be finished or deleted.
func (o *Opener) Current(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (Found, error) {
	request, err := o.knownCurrent(ctx, spec.SignalFingerprint, time.Time{})
	if err != nil {
		return Found{}, err
	}
	if request != nil {
		return existing(request), nil
	}
	latest, err := o.latest(ctx, spec.SignalFingerprint)
	if err != nil || (latest.Request != nil && open(latest.Request)) {
		return latest, err
	}
	related, err := o.relatedRequest(ctx, spec, o.named)
	if err != nil {
		return Found{}, err
	}
	if related != nil {
		return existing(related), nil
	}
	return latest, nil
}

// latest returns the register's request. It waits for one that is about to be
// created, as an attempt does, and finds nothing if none appears.
func (o *Opener) latest(ctx context.Context, fingerprint string) (Found, error) {
	var seen *v1alpha1.RemediationRequest
	for look := range maxRounds {
		r, exists, err := o.register.Find(ctx, fingerprint)
		if err != nil || !exists {
			return Found{}, err //nolint:wrapcheck // names the lease
		}
		if seen != nil && r.Names(seen) {
			return existing(seen), nil
		}
		key := r.Request()
		request, err := o.live.get(ctx, key)
		switch {
		case err == nil && r.Names(request):
			// It may have been created late, after the register was read.
			seen = request
			continue
		case err == nil:
			return Found{}, nil
		case !apierrors.IsNotFound(err):
			return Found{}, fmt.Errorf("read the signal's latest request: %w", err)
		case r.State() == signalregister.Closed || o.known.existed(fingerprint, key):
			return Found{Key: key}, nil
		case look >= len(o.patience) || o.clock.Since(r.OpenedAt()) >= creatorTimeout:
			return Found{}, nil
		}
		if err := o.wait(ctx, o.patience[look]); err != nil {
			return Found{}, err
		}
	}
	return Found{}, ErrContended
}
