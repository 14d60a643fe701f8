package dedup

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/admission"
)

// attempt is one call of Open.
type attempt struct {
	*Opener

	signal Signal
	trail  Trail

	// received is the request under which the signal has been recorded already.
	received types.NamespacedName
	// proposed are the open requests of the fingerprint that the cache had when the attempt began.
	proposed []v1alpha1.RemediationRequest
}

func (a *attempt) run(ctx context.Context) (Result, error) {
	result, err := a.quick(ctx)
	if err != nil || result.Request != nil {
		return result, err
	}
	for range maxRounds {
		result, err = a.round(ctx)
		if err != nil || result.Request != nil {
			return result, err
		}
	}
	return Result{}, ErrContended
}

// quick adds the signal to the only open request that the cache has, if this
// replica has recorded its creation. It returns no result if there is none.
func (a *attempt) quick(ctx context.Context) (Result, error) {
	var err error
	a.proposed, err = proposals(ctx, a.cache, byFingerprint, a.signal.Spec.SignalFingerprint)
	if err != nil || len(a.proposed) != 1 {
		return Result{}, err
	}
	if _, ok := a.recorded.Get(a.proposed[0].UID); !ok {
		return Result{}, nil
	}
	request, err := a.confirm(ctx, &a.proposed[0])
	if err != nil || request == nil {
		return Result{}, err
	}
	return Result{Request: request}, nil
}

// round reads the lease record and takes one step. It returns no result if
// another replica came first, or if the record has moved to its next name.
func (a *attempt) round(ctx context.Context) (Result, error) {
	r, err := a.leaseRecord(ctx)
	if err != nil || r.lease == nil {
		return Result{}, err
	}
	if err := a.takeBackLate(ctx, r); err != nil {
		return Result{}, err
	}
	request, err := a.live.get(ctx, r.request())
	switch {
	case err == nil:
		return a.join(ctx, r, request)
	case !apierrors.IsNotFound(err):
		return Result{}, fmt.Errorf("read the signal's request: %w", err)
	}
	if result, err := a.adopt(ctx, r); err != nil || result.Request != nil {
		return result, err
	}
	switch {
	case r.bound() != "":
		// The current request was deleted.
		return Result{}, a.advance(ctx, r)
	case r.age(a.clock) > renewAfter:
		return Result{}, ignoreOutpaced(a.leases.renew(ctx, r))
	default:
		return a.create(ctx, r)
	}
}

// leaseRecord reads the record of the fingerprint, or creates it. It returns
// the zero record if another replica has just created it.
func (a *attempt) leaseRecord(ctx context.Context) (leaseRecord, error) {
	fingerprint := a.signal.Spec.SignalFingerprint
	r, found, err := a.leases.find(ctx, fingerprint)
	if err != nil || found {
		return r, err
	}
	namespace, err := a.requestNamespace(ctx, a.signal)
	if err != nil {
		return leaseRecord{}, err
	}
	r, err = a.leases.create(ctx, fingerprint, namespace)
	if apierrors.IsAlreadyExists(err) {
		return leaseRecord{}, nil
	}
	return r, err
}

// join adds the signal to the record's current request, or moves the record on
// if that request takes no more signals.
func (a *attempt) join(ctx context.Context, r leaseRecord, request *v1alpha1.RemediationRequest) (Result, error) {
	if uid := r.bound(); (uid != "" && uid != request.UID) || !a.takesSignals(request) {
		return Result{}, a.advance(ctx, r)
	}
	if done, err := a.confirmCreation(ctx, r, request); err != nil || !done {
		return Result{}, err
	}
	return Result{Request: request}, nil
}

// confirmCreation binds a request to its name and records its creation. Every
// attempt that finds an unbound request does so, because its creator may have
// died. It returns false if the record changed meanwhile.
func (a *attempt) confirmCreation(ctx context.Context, r leaseRecord, request *v1alpha1.RemediationRequest) (bool, error) {
	if r.bound() == "" {
		if err := a.leases.bind(ctx, r, request.UID); err != nil {
			return false, ignoreOutpaced(err)
		}
	}
	if err := a.recordCreated(ctx, request); err != nil {
		return false, err
	}
	return true, nil
}

// recordCreated records the creation of a request, once by each replica.
func (a *attempt) recordCreated(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	if _, ok := a.recorded.Get(request.UID); ok {
		return nil
	}
	if err := a.trail.Created(ctx, request); err != nil {
		return fmt.Errorf("record creation of %s: %w", request.Name, err)
	}
	a.recorded.Add(request.UID, nil)
	return nil
}

// recordReceived records the signal, once under each request.
func (a *attempt) recordReceived(ctx context.Context, key types.NamespacedName) error {
	if a.received == key {
		return nil
	}
	if err := a.trail.Received(ctx, key, a.signal.Spec); err != nil {
		return fmt.Errorf("record signal of %s: %w", key.Name, err)
	}
	a.received = key
	return nil
}

// create creates the record's current request.
func (a *attempt) create(ctx context.Context, r leaseRecord) (Result, error) {
	key := r.request()
	request := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace,
			Name:      key.Name,
			Labels:    map[string]string{managedByLabel: managedByGateway},
		},
		Spec: *a.signal.Spec.DeepCopy(),
	}
	err := a.probe(ctx, request)
	if err == nil {
		if err = a.recordReceived(ctx, key); err != nil {
			return Result{}, err
		}
		err = a.client.Create(ctx, request)
	}
	switch {
	case err == nil:
		return a.own(ctx, r, request)
	case apierrors.IsAlreadyExists(err):
		// The next round finds it.
		return Result{}, nil
	case namespaceGone(err) && key.Namespace != a.namespace:
		return Result{}, a.advance(ctx, r)
	}
	return Result{}, fmt.Errorf("create request %s: %w", key, err)
}

// probe asks the API server whether it would accept a request that it denied the
// last time, so that a retry which is denied again records nothing new.
func (a *attempt) probe(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	if !a.signal.Denied {
		return nil
	}
	err := a.client.Create(ctx, request.DeepCopy(), client.DryRunAll)
	if admission.NoDryRun(err) {
		return nil
	}
	return err //nolint:wrapcheck // handled like that of the creation
}

// own binds the request that this attempt has created. If the record has moved
// on, or its name belongs to another object, the request was created late.
func (a *attempt) own(ctx context.Context, r leaseRecord, request *v1alpha1.RemediationRequest) (Result, error) {
	for range maxRounds {
		if uid := r.bound(); uid != "" && uid != request.UID {
			return Result{}, a.takeBack(ctx, request)
		}
		done, err := a.confirmCreation(ctx, r, request)
		if err != nil {
			return Result{}, err
		}
		if done {
			return Result{Request: request, Created: true}, nil
		}
		var found bool
		if r, found, err = a.leases.find(ctx, request.Spec.SignalFingerprint); err != nil {
			return Result{}, err
		}
		if !found || r.request().Name != request.Name {
			return Result{}, a.takeBack(ctx, request)
		}
	}
	return Result{}, ErrContended
}

// advance moves the record to its next name.
func (a *attempt) advance(ctx context.Context, r leaseRecord) error {
	namespace, err := a.requestNamespace(ctx, a.signal)
	if err != nil {
		return err
	}
	return ignoreOutpaced(a.leases.advance(ctx, r, namespace))
}
