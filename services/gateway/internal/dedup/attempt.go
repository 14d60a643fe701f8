package dedup

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// opening is one signal on its way to its request.
type opening struct {
	*Opener

	signal Signal
	trail  Trail

	// received is the name under which the signal is on the trail already.
	received types.NamespacedName
	// proposed is the open request that the cache knows, confirmed; nil where it knows none.
	proposed *v1alpha1.RemediationRequest
}

func (a *opening) open(ctx context.Context) (Result, error) {
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

// quick folds the signal into an open request that the cache proposes and
// whose creation this replica has seen to the end. The result is empty when
// there is none.
func (a *opening) quick(ctx context.Context) (Result, error) {
	proposed, err := propose(ctx, a.cache, byFingerprint, a.signal.Spec.SignalFingerprint)
	if err != nil || proposed == nil {
		return Result{}, err
	}
	if a.proposed, err = a.confirm(ctx, proposed); err != nil || a.proposed == nil {
		return Result{}, err
	}
	if _, ok := a.known.Get(a.proposed.UID); !ok {
		return Result{}, nil
	}
	return a.fold(ctx, a.proposed)
}

// round goes through the register once. An empty result means that somebody
// else was faster, or that the register has moved on to its next name.
func (a *opening) round(ctx context.Context) (Result, error) {
	r, err := a.register(ctx)
	if err != nil || r.lease == nil {
		return Result{}, err
	}
	request, err := a.live.get(ctx, r.key())
	switch {
	case err == nil:
		return a.meet(ctx, r, request)
	case !apierrors.IsNotFound(err):
		return Result{}, fmt.Errorf("look at the request of the signal: %w", err)
	case a.proposed != nil:
		// Somebody made this request by hand: it takes the signal all the same.
		a.known.Add(a.proposed.UID, nil)
		return a.fold(ctx, a.proposed)
	case r.bound() != "":
		return Result{}, a.advance(ctx, r)
	case a.age(r) > freshRegister:
		return Result{}, yield(a.registers.renew(ctx, r))
	default:
		return a.create(ctx, r)
	}
}

// register reads the fingerprint's register, or makes it. The zero register
// means that somebody else has just made it.
func (a *opening) register(ctx context.Context) (register, error) {
	fingerprint := a.signal.Spec.SignalFingerprint
	r, found, err := a.registers.find(ctx, fingerprint)
	if err != nil || found {
		return r, err
	}
	namespace, err := a.home(ctx, a.signal)
	if err != nil {
		return register{}, err
	}
	r, err = a.registers.create(ctx, fingerprint, namespace)
	if apierrors.IsAlreadyExists(err) {
		return register{}, nil
	}
	return r, err
}

// meet folds the signal into the request that the register stands at, or
// moves the register on where that one takes no more signals.
func (a *opening) meet(ctx context.Context, r register, request *v1alpha1.RemediationRequest) (Result, error) {
	if uid := r.bound(); (uid != "" && uid != request.UID) || !a.takes(request) {
		return Result{}, a.advance(ctx, r)
	}
	if done, err := a.settle(ctx, r, request); err != nil || !done {
		return Result{}, err
	}
	return a.fold(ctx, request)
}

// settle binds a request to its name and records its creation. Whoever meets
// an unsettled request does it: its creator may have died. It reports false
// when the register was changed meanwhile.
func (a *opening) settle(ctx context.Context, r register, request *v1alpha1.RemediationRequest) (bool, error) {
	if r.bound() == "" {
		if err := a.registers.bind(ctx, r, request.UID); err != nil {
			return false, yield(err)
		}
	}
	if _, ok := a.known.Get(request.UID); !ok {
		if err := a.trail.Created(ctx, request); err != nil {
			return false, fmt.Errorf("record creation of %s: %w", request.Name, err)
		}
		a.known.Add(request.UID, nil)
	}
	return true, nil
}

func (a *opening) fold(ctx context.Context, request *v1alpha1.RemediationRequest) (Result, error) {
	if err := a.receive(ctx, client.ObjectKeyFromObject(request)); err != nil {
		return Result{}, err
	}
	return Result{Request: request}, nil
}

// receive puts the signal on the trail, once under each name.
func (a *opening) receive(ctx context.Context, key types.NamespacedName) error {
	if a.received == key {
		return nil
	}
	if err := a.trail.Received(ctx, key, a.signal.Spec); err != nil {
		return fmt.Errorf("record signal of %s: %w", key.Name, err)
	}
	a.received = key
	return nil
}

// create makes the request that the register stands at.
func (a *opening) create(ctx context.Context, r register) (Result, error) {
	key := r.key()
	if err := a.receive(ctx, key); err != nil {
		return Result{}, err
	}
	request := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace,
			Name:      key.Name,
			Labels:    map[string]string{managedByLabel: managedByGateway},
		},
		Spec: *a.signal.Spec.DeepCopy(),
	}
	err := a.client.Create(ctx, request)
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

// own binds the request that was just created. If its name was bound before,
// to an object that came and went between the two reads of this replica, the
// new object would bear a used name: it is taken back.
func (a *opening) own(ctx context.Context, r register, request *v1alpha1.RemediationRequest) (Result, error) {
	for range maxRounds {
		if uid := r.bound(); uid != "" && uid != request.UID {
			return Result{}, a.takeBack(ctx, request)
		}
		done, err := a.settle(ctx, r, request)
		if err != nil {
			return Result{}, err
		}
		if done {
			return Result{Request: request, Created: true}, nil
		}
		var found bool
		if r, found, err = a.registers.find(ctx, request.Spec.SignalFingerprint); err != nil {
			return Result{}, err
		}
		if !found || r.key().Name != request.Name {
			return Result{}, a.takeBack(ctx, request)
		}
	}
	return Result{}, ErrContended
}

func (a *opening) takeBack(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	err := a.client.Delete(ctx, request, client.Preconditions{UID: &request.UID})
	if err != nil && !outrun(err) {
		return fmt.Errorf("take back request %s, whose name was used before: %w", request.Name, err)
	}
	return nil
}

// advance moves the register on to its next name.
func (a *opening) advance(ctx context.Context, r register) error {
	namespace, err := a.home(ctx, a.signal)
	if err != nil {
		return err
	}
	return yield(a.registers.advance(ctx, r, namespace))
}

// yield lets the next round decide when somebody else was faster.
func yield(err error) error {
	if outrun(err) {
		return nil
	}
	return err
}
