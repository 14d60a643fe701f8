package dedup

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
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

// members are the ids of an open overflow request's members.
func members(r *v1alpha1.RemediationRequest) []string {
	if !open(r) || r.Spec.SignalType != v1alpha1.SignalTypeOverflow || r.Status.Signals == nil {
		return nil
	}
	return instances(r)
}
