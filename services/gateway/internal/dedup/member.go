package dedup

import (
	"cmp"
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

// memberIDLength is how much of its fingerprint identifies a member of an overflow request.
const memberIDLength = 16

// MemberID identifies a problem among the members of an overflow request.
func MemberID(fingerprint string) string { return fingerprint[:memberIDLength] }

// Membership returns the open overflow request that lists a problem, or nil. The
// cache proposes it, and a read from the API server confirms it.
func (o *Opener) Membership(ctx context.Context, fingerprint string) (*v1alpha1.RemediationRequest, error) {
	proposed, err := proposals(ctx, o.cache, byMember, MemberID(fingerprint))
	if err != nil || len(proposed) == 0 {
		return nil, err
	}
	request, err := o.live.get(ctx, client.ObjectKeyFromObject(&proposed[0]))
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // the cache lags behind
	case err != nil:
		return nil, err
	case !open(request):
		return nil, nil //nolint:nilnil // the cache lags behind
	default:
		return request, nil
	}
}

// OverflowOf returns the open overflow request that lists a problem or, if none
// does, that of its namespace if it counts problems which it does not list.
func (o *Opener) OverflowOf(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (*v1alpha1.RemediationRequest, error) {
	if request, err := o.Membership(ctx, spec.SignalFingerprint); err != nil || request != nil {
		return request, err
	}
	for _, namespace := range []string{cmp.Or(signal.Namespace(spec.TargetResource), o.options.Namespace), o.options.Namespace} {
		proposed, err := proposals(ctx, o.cache, byFingerprint, OverflowFingerprint(o.options.Cluster, namespace))
		if err != nil {
			return nil, err
		}
		for i := range proposed {
			request, err := o.live.get(ctx, client.ObjectKeyFromObject(&proposed[i]))
			switch {
			case apierrors.IsNotFound(err):
				continue
			case err != nil:
				return nil, err
			case open(request) && request.Status.Signals != nil && request.Status.Signals.More > 0:
				return request, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// members are the ids of an open overflow request's members.
func members(r *v1alpha1.RemediationRequest) []string {
	if !open(r) || r.Spec.SignalType != v1alpha1.SignalTypeOverflow || r.Status.Signals == nil {
		return nil
	}
	return instances(r)
}
