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
	// keepRegister is how long a register outlives its last change when its
	// request is gone. A register that is made again gives other names.
	keepRegister = 30 * 24 * time.Hour
	// freshRegister is how old a register may be for a request to be created
	// under it; an older one is renewed first, so that nobody sweeps it meanwhile.
	freshRegister = keepRegister / 2
	sweepPage     = 500
)

// Sweep deletes the registers of problems that have not come back for a month
// and whose request is gone, and returns how many. Any replica may do it at
// any time: a register that is in use is left alone.
func (o *Opener) Sweep(ctx context.Context) (int, error) {
	swept := 0
	var page coordinationv1.LeaseList
	for {
		err := o.client.List(ctx, &page, client.InNamespace(o.namespace), client.MatchingLabels{managedByLabel: managedByGateway},
			client.Limit(sweepPage), client.Continue(page.Continue))
		if err != nil {
			return swept, fmt.Errorf("list registers in %s: %w", o.namespace, err)
		}
		for i := range page.Items {
			done, err := o.sweep(ctx, register{&page.Items[i]})
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

func (o *Opener) sweep(ctx context.Context, r register) (bool, error) {
	if !r.valid() || o.age(r) < keepRegister {
		return false, nil
	}
	err := o.client.Get(ctx, r.key(), &v1alpha1.RemediationRequest{})
	if err == nil {
		return false, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read request %s: %w", r.key(), err)
	}
	err = o.client.Delete(ctx, r.lease, client.Preconditions{UID: &r.lease.UID, ResourceVersion: &r.lease.ResourceVersion})
	if outrun(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete register %s: %w", r.lease.Name, err)
	}
	return true, nil
}

// age is the time since the register's last change.
func (o *Opener) age(r register) time.Duration {
	if r.lease.Spec.RenewTime == nil {
		return 0
	}
	return o.clock.Since(r.lease.Spec.RenewTime.Time)
}
