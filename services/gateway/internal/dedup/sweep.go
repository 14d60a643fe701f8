package dedup

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// sweepAfter is how long a Lease is kept after its last change if its
	// request is gone. A Lease that is created again gives other names.
	sweepAfter = 30 * 24 * time.Hour
	// renewAfter is the age at which a Lease is renewed before a request is
	// created under it, so that it is not swept meanwhile.
	renewAfter = sweepAfter / 2
	sweepPage  = 500
)

// Sweep deletes the Leases of problems that have not come back for a month and
// whose request is gone, and returns how many. Any replica may do so at any
// time: Leases that are in use are not deleted.
func (o *Opener) Sweep(ctx context.Context) (int, error) {
	swept := 0
	var page coordinationv1.LeaseList
	for {
		err := o.client.List(ctx, &page, client.InNamespace(o.namespace), client.MatchingLabels{managedByLabel: managedByGateway},
			client.Limit(sweepPage), client.Continue(page.Continue))
		if err != nil {
			return swept, fmt.Errorf("list leases in %s: %w", o.namespace, err)
		}
		for i := range page.Items {
			done, err := o.sweep(ctx, leaseRecord{&page.Items[i]})
			if err != nil {
				return swept, err
			}
			if done {
				swept++
			}
		}
		if page.Continue == "" {
			return swept, nil
		}
	}
}

func (o *Opener) sweep(ctx context.Context, r leaseRecord) (bool, error) {
	if !r.valid() || r.age(o.clock) < sweepAfter {
		return false, nil
	}
	err := o.client.Get(ctx, r.request(), &v1alpha1.RemediationRequest{})
	if err == nil {
		return false, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read request %s: %w", r.request(), err)
	}
	err = o.client.Delete(ctx, r.lease, client.Preconditions{UID: &r.lease.UID, ResourceVersion: &r.lease.ResourceVersion})
	if outpaced(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete lease %s: %w", r.lease.Name, err)
	}
	return true, nil
}
