package dedup

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/gateway/internal/quota"
)

// openFirst opens the first request of a fingerprint.
func (a *attempt) openFirst(ctx context.Context) (Result, error) {
	return a.open(ctx, func(request signalregister.Request) (signalregister.Record, error) {
		return a.register.Create(ctx, a.fingerprint(), request)
	})
}

// openNext opens the next request of a register whose current one nobody relies on any more.
func (a *attempt) openNext(ctx context.Context, r signalregister.Record) (Result, error) {
	return a.open(ctx, func(request signalregister.Request) (signalregister.Record, error) {
		return a.register.Advance(ctx, r, request)
	})
}

// open writes the register and creates the request. It returns no result if
// another replica wrote the register first.
func (a *attempt) open(ctx context.Context, write func(signalregister.Request) (signalregister.Record, error)) (Result, error) {
	namespace, err := a.requestNamespace(ctx)
	if err != nil {
		return Result{}, err
	}
	if result, err := a.reserve(ctx, namespace); err != nil || result.Request != nil {
		return result, err
	}
	digest, err := signalregister.SpecDigest(a.signal.Spec)
	if err != nil {
		return Result{}, err //nolint:wrapcheck // says what failed
	}
	r, err := write(signalregister.Request{Namespace: namespace, SpecDigest: digest})
	if err != nil {
		return Result{}, ignoreOutpaced(err)
	}
	return a.create(ctx, r, a.newRequest(r))
}

// reserve takes a place for the request, or adds the signal to the overflow
// request if there is none left.
func (a *attempt) reserve(ctx context.Context, namespace string) (Result, error) {
	if a.member != nil {
		return Result{}, nil
	}
	a.releaseReservation()
	reservation, err := a.options.Quota.Reserve(quota.Problem{
		Sender: a.signal.Sender, Namespace: namespace, Severity: a.signal.Spec.Severity,
	})
	if exceeded, ok := errors.AsType[*quota.ExceededError](err); ok {
		return a.toOverflow(ctx, namespace, exceeded)
	}
	if err != nil {
		return Result{}, err //nolint:wrapcheck // says what failed
	}
	a.reservation = reservation
	return Result{}, nil
}

func (a *attempt) releaseReservation() {
	if a.reservation != nil {
		a.reservation.Release()
		a.reservation = nil
	}
}

// newRequest returns the request of an opening.
func (a *attempt) newRequest(r signalregister.Record) *v1alpha1.RemediationRequest {
	key := r.Request()
	request := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace,
			Name:      key.Name,
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
			Annotations: map[string]string{
				v1alpha1.AnnotationSpecDigest: r.SpecDigest(),
				v1alpha1.AnnotationOpening:    r.Opening(),
			},
			Finalizers: []string{v1alpha1.FinalizerRegister},
		},
		Spec: *a.signal.Spec.DeepCopy(),
	}
	if a.signal.Sender != "" {
		request.Annotations[v1alpha1.AnnotationSender] = a.signal.Sender
	}
	return request
}

// create creates the request of an opening that this replica has written. It is
// called once for each opening, and again only if the creation certainly stored
// nothing: so no name has two objects.
func (a *attempt) create(ctx context.Context, r signalregister.Record, request *v1alpha1.RemediationRequest) (Result, error) {
	key := r.Request()
	if err := a.recordReceived(ctx, key); err != nil {
		a.prepared.keep(request)
		return Result{}, err
	}
	if a.reservation != nil {
		a.reservation.For(key)
	}
	a.prepared.drop(a.fingerprint())
	created := request.DeepCopy()
	telemetry.Mark(ctx, created)
	err := a.client.Create(ctx, created)
	switch {
	case err == nil:
		return a.own(ctx, created)
	case apierrors.IsAlreadyExists(err):
		// The next round looks at what somebody else created under the name.
		return Result{}, nil
	case namespaceGone(err) && key.Namespace != a.options.Namespace:
		a.namespaces.forget(key.Namespace)
		a.namespaceIsGone = true
		return a.openNext(ctx, r)
	case denied(err):
		a.prepared.keep(request)
	}
	return Result{}, fmt.Errorf("create request %s: %w", key, err)
}

// recordReceived records the signal before it creates a request.
func (a *attempt) recordReceived(ctx context.Context, key types.NamespacedName) error {
	spec := a.signal.Spec
	if a.member != nil {
		spec = a.member.spec
	}
	if err := a.trail.Received(ctx, key, spec); err != nil {
		return fmt.Errorf("record signal of %s: %w", key.Name, err)
	}
	a.received = key
	return nil
}

// own looks at the register after this attempt has created a request. Only if
// the register still names the request may anybody rely on it; otherwise it was
// created late, and is taken back.
func (a *attempt) own(ctx context.Context, request *v1alpha1.RemediationRequest) (Result, error) {
	for range maxRounds {
		r, found, err := a.register.Find(ctx, a.fingerprint())
		switch {
		case err != nil:
			return Result{}, err //nolint:wrapcheck // names the lease
		case !found || r.Opening() != request.Annotations[v1alpha1.AnnotationOpening]:
			if found && r.Passed(request) {
				_, err := a.takeBack(ctx, request)
				return Result{}, err
			}
			// Somebody deleted the Lease. The request ends by itself, without signals.
			return Result{}, nil
		case r.State() == signalregister.Suspect:
			if _, err := a.register.Reinstate(ctx, r); err != nil {
				if err := ignoreOutpaced(err); err != nil {
					return Result{}, err
				}
				continue
			}
		}
		if err := a.recordCreated(ctx, request); err != nil {
			return Result{}, err
		}
		a.reservation = nil // lasts until the informer reports the request
		return Result{Request: request, Created: true}, nil
	}
	return Result{}, ErrContended
}

// takeBack deletes a request that the register had passed when it was read
// before this call, and reports whether it did. The register passes a request
// only when that has ended or did not exist, so only one that is still open is late.
func (o *Opener) takeBack(ctx context.Context, request *v1alpha1.RemediationRequest) (bool, error) {
	current, err := o.live.get(ctx, client.ObjectKeyFromObject(request))
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read request %s, which was created late: %w", request.Name, err)
	case current.UID != request.UID || !open(current):
		return false, nil
	}
	err = o.client.Delete(ctx, current.DeepCopy(), client.Preconditions{UID: &request.UID})
	if err != nil && !signalregister.Outpaced(err) {
		return false, fmt.Errorf("delete request %s, which was created late: %w", request.Name, err)
	}
	return err == nil, nil
}
