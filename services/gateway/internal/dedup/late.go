package dedup

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// A request is late if it was created under a name that belonged to another
// object before, or that the record had passed. Its creator read the record,
// and between that read and the creation an object of the name came and went.
// Usually the creator notices and takes its request back. If it cannot, because
// it died or lost its connection, whoever finds the request does.

// takeBackLate takes back the proposed requests that are late.
func (a *attempt) takeBackLate(ctx context.Context, r leaseRecord) error {
	for i := range a.proposed {
		request := &a.proposed[i]
		if !r.passed(request.Name) {
			continue
		}
		if err := a.takeBack(ctx, request); err != nil {
			return err
		}
	}
	a.proposed = slices.DeleteFunc(a.proposed, func(request v1alpha1.RemediationRequest) bool {
		return r.passed(request.Name)
	})
	return nil
}

// takeBack deletes a request whose name the lease record, as read before this
// call, gives to another object or has passed. A record passes a request only
// when that request is finished or being deleted, so only one that is still
// open is late. Requests that the Gateway did not create are left alone.
func (a *attempt) takeBack(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	current, err := a.live.get(ctx, client.ObjectKeyFromObject(request))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read request %s, whose name was used before: %w", request.Name, err)
	case current.UID != request.UID || !open(current) || current.Labels[managedByLabel] != managedByGateway:
		return nil
	}
	err = a.client.Delete(ctx, current.DeepCopy(), client.Preconditions{UID: &request.UID})
	if err != nil && !outpaced(err) {
		return fmt.Errorf("delete request %s, whose name was used before: %w", request.Name, err)
	}
	return nil
}

// adopt adds the signal to an open request that does not have one of the
// record's names: somebody created it by hand, or its Lease was deleted. It
// returns no result if there is none.
func (a *attempt) adopt(ctx context.Context, r leaseRecord) (Result, error) {
	for i := range a.proposed {
		if client.ObjectKeyFromObject(&a.proposed[i]) == r.request() {
			continue
		}
		request, err := a.confirm(ctx, &a.proposed[i])
		if err != nil {
			return Result{}, err
		}
		if request == nil {
			continue
		}
		if request.Labels[managedByLabel] == managedByGateway {
			if err := a.recordCreated(ctx, request); err != nil {
				return Result{}, err
			}
		}
		a.recorded.Add(request.UID, nil)
		return Result{Request: request}, nil
	}
	return Result{}, nil
}
