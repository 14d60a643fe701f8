package dedup

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What a register's Lease carries besides its own fields.
const (
	managedByLabel        = "app.kubernetes.io/managed-by"
	managedByGateway      = "kubernaut-gateway"
	fingerprintAnnotation = "kubernaut.ai/signal-fingerprint"
	namespaceAnnotation   = "kubernaut.ai/request-namespace"
	uidAnnotation         = "kubernaut.ai/request-uid"
)

// register is what a fingerprint's Lease said when it was read.
type register struct{ lease *coordinationv1.Lease }

// valid reports whether the annotations are there that a register needs.
func (r register) valid() bool {
	return len(r.lease.Annotations[fingerprintAnnotation]) > fingerprintInReg && r.lease.Annotations[namespaceAnnotation] != ""
}

// key names the request that the register stands at.
func (r register) key() types.NamespacedName {
	var transitions int32
	if r.lease.Spec.LeaseTransitions != nil {
		transitions = *r.lease.Spec.LeaseTransitions
	}
	return types.NamespacedName{
		Namespace: r.lease.Annotations[namespaceAnnotation],
		Name:      name(r.lease.Annotations[fingerprintAnnotation], r.lease.UID, transitions),
	}
}

// bound returns the UID of the request that has taken the register's name;
// empty while none has.
func (r register) bound() types.UID {
	if r.lease.Spec.HolderIdentity == nil || *r.lease.Spec.HolderIdentity != r.key().Name {
		return ""
	}
	return types.UID(r.lease.Annotations[uidAnnotation])
}

// registers reads and changes the Leases. Every change is conditional on the
// resource version that was read: a Conflict or NotFound error means that
// somebody else was faster, and that the register must be read again.
type registers struct {
	client    client.Client
	namespace string
	clock     clock.PassiveClock
}

// find returns the register of a fingerprint, or false when there is none.
func (s *registers) find(ctx context.Context, fingerprint string) (register, bool, error) {
	lease := &coordinationv1.Lease{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: registerName(fingerprint)}, lease)
	switch {
	case apierrors.IsNotFound(err):
		return register{}, false, nil
	case err != nil:
		return register{}, false, fmt.Errorf("read lease %s/%s: %w", s.namespace, registerName(fingerprint), err)
	case !(register{lease}).valid() || lease.Annotations[fingerprintAnnotation] != fingerprint:
		return register{}, false, fmt.Errorf("lease %s/%s is not a register of fingerprint %s: its annotations were changed; delete it",
			s.namespace, lease.Name, fingerprint)
	}
	return register{lease}, true, nil
}

// create makes the register of a fingerprint. An AlreadyExists error means
// that somebody else did.
func (s *registers) create(ctx context.Context, fingerprint, requestNamespace string) (register, error) {
	now := metav1.NewMicroTime(s.clock.Now())
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   s.namespace,
			Name:        registerName(fingerprint),
			Labels:      map[string]string{managedByLabel: managedByGateway},
			Annotations: map[string]string{fingerprintAnnotation: fingerprint, namespaceAnnotation: requestNamespace},
		},
		Spec: coordinationv1.LeaseSpec{LeaseTransitions: new(int32), AcquireTime: &now, RenewTime: &now},
	}
	if err := s.client.Create(ctx, lease); err != nil {
		return register{}, fmt.Errorf("create lease %s/%s: %w", s.namespace, lease.Name, err)
	}
	return register{lease}, nil
}

// bind writes down which object has taken the register's name.
func (s *registers) bind(ctx context.Context, r register, uid types.UID) error {
	holder := r.key().Name
	return s.update(ctx, r, func(lease *coordinationv1.Lease) {
		lease.Spec.HolderIdentity = &holder
		lease.Annotations[uidAnnotation] = string(uid)
	})
}

// advance moves the register on to its next name.
func (s *registers) advance(ctx context.Context, r register, requestNamespace string) error {
	return s.update(ctx, r, func(lease *coordinationv1.Lease) {
		next := int32(1)
		if lease.Spec.LeaseTransitions != nil {
			next += *lease.Spec.LeaseTransitions
		}
		lease.Spec.LeaseTransitions = &next
		lease.Annotations[namespaceAnnotation] = requestNamespace
	})
}

// renew marks the register as used.
func (s *registers) renew(ctx context.Context, r register) error {
	return s.update(ctx, r, func(*coordinationv1.Lease) {})
}

// update writes a changed copy. The latest holder stays: it names the request
// that a late "resolved" speaks of.
func (s *registers) update(ctx context.Context, r register, change func(*coordinationv1.Lease)) error {
	lease := r.lease.DeepCopy()
	change(lease)
	now := metav1.NewMicroTime(s.clock.Now())
	lease.Spec.RenewTime = &now
	if err := s.client.Update(ctx, lease); err != nil {
		return fmt.Errorf("update lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return nil
}

// outrun reports whether a change failed because somebody else was faster.
func outrun(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err)
}
