package dedup

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
)

const (
	// sweepAfter is how long a record is kept after its last change if its request
	// is gone. No creator is held up for so long.
	sweepAfter = 30 * 24 * time.Hour
	sweepPage  = 500
)

// Swept counts what a sweep deleted.
type Swept struct {
	// Leases of problems that have not come back for a month.
	Leases int
	// Late requests whose creators did not take them back.
	Late int
}

// Sweep deletes the Leases of problems that have not come back for a month and
// whose request is gone, and takes back late requests. Any replica may do so at
// any time: what is in use is not deleted.
func (o *Opener) Sweep(ctx context.Context) (Swept, error) {
	var swept Swept
	// Late requests have to exist before the register is read.
	open, err := o.openByFingerprint(ctx)
	if err != nil {
		return swept, err
	}
	var page coordinationv1.LeaseList
	for {
		err := o.client.List(ctx, &page, client.InNamespace(o.options.Namespace),
			client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
			client.Limit(sweepPage), client.Continue(page.Continue))
		if err != nil {
			return swept, fmt.Errorf("list leases in %s: %w", o.options.Namespace, err)
		}
		for i := range page.Items {
			if err := o.sweep(ctx, &page.Items[i], open, &swept); err != nil {
				return swept, err
			}
		}
		if page.Continue == "" {
			return swept, nil
		}
	}
}

func (o *Opener) openByFingerprint(ctx context.Context) (map[string][]*v1alpha1.RemediationRequest, error) {
	var list v1alpha1.RemediationRequestList
	if err := o.cache.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("look up open requests: %w", err)
	}
	byFingerprint := map[string][]*v1alpha1.RemediationRequest{}
	for i := range list.Items {
		if request := &list.Items[i]; open(request) {
			fingerprint := request.Spec.SignalFingerprint
			byFingerprint[fingerprint] = append(byFingerprint[fingerprint], request)
		}
	}
	return byFingerprint, nil
}

func (o *Opener) sweep(ctx context.Context, lease *coordinationv1.Lease, open map[string][]*v1alpha1.RemediationRequest, swept *Swept) error {
	r := signalregister.NewRecord(lease)
	if !r.Valid() {
		return nil
	}
	for _, request := range open[r.Fingerprint()] {
		if !r.Passed(request) {
			continue
		}
		deleted, err := o.takeBack(ctx, request)
		if err != nil {
			return err
		}
		if deleted {
			swept.Late++
		}
	}
	if o.clock.Since(r.ChangedAt()) < sweepAfter {
		return nil
	}
	err := o.client.Get(ctx, r.Request(), &v1alpha1.RemediationRequest{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read request %s: %w", r.Request(), err)
	}
	err = o.register.Remove(ctx, r)
	if signalregister.Outpaced(err) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // names the lease
	}
	swept.Leases++
	return nil
}
