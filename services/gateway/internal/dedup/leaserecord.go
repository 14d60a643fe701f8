package dedup

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Labels and annotations of a fingerprint's Lease.
const (
	managedByLabel            = "app.kubernetes.io/managed-by"
	managedByGateway          = "kubernaut-gateway"
	fingerprintAnnotation     = "kubernaut.ai/signal-fingerprint"
	namespaceAnnotation       = "kubernaut.ai/request-namespace"
	holderNamespaceAnnotation = "kubernaut.ai/holder-namespace"
	uidAnnotation             = "kubernaut.ai/request-uid"
)

// leaseRecord is the state of a fingerprint as its Lease had it when it was
// read. The zero leaseRecord stands for none.
type leaseRecord struct{ lease *coordinationv1.Lease }

// valid reports whether the required annotations are present.
func (r leaseRecord) valid() bool {
	return len(r.lease.Annotations[fingerprintAnnotation]) > fingerprintInLease && r.lease.Annotations[namespaceAnnotation] != ""
}

// request is the key of the record's current request, which may not exist yet or any more.
func (r leaseRecord) request() types.NamespacedName {
	return types.NamespacedName{
		Namespace: r.lease.Annotations[namespaceAnnotation],
		Name:      name(r.lease.Annotations[fingerprintAnnotation], r.lease.UID, r.transitions()),
	}
}

// passed reports whether a name is an earlier one of the record. It derives all
// of them, but only for names that are neither the current one nor invented by
// somebody else.
func (r leaseRecord) passed(requestName string) bool {
	current := r.request().Name
	if requestName == current || len(requestName) != len(current) {
		return false
	}
	for earlier := range r.transitions() {
		if requestName == name(r.lease.Annotations[fingerprintAnnotation], r.lease.UID, earlier) {
			return true
		}
	}
	return false
}

func (r leaseRecord) transitions() int32 {
	if r.lease.Spec.LeaseTransitions == nil {
		return 0
	}
	return *r.lease.Spec.LeaseTransitions
}

// bound returns the UID of the object that owns the current name; empty if none does.
func (r leaseRecord) bound() types.UID {
	if r.lease.Spec.HolderIdentity == nil || *r.lease.Spec.HolderIdentity != r.request().Name {
		return ""
	}
	return types.UID(r.lease.Annotations[uidAnnotation])
}

// latest is the key of the latest request that was bound; zero if none was.
func (r leaseRecord) latest() types.NamespacedName {
	if r.lease.Spec.HolderIdentity == nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: r.lease.Annotations[holderNamespaceAnnotation], Name: *r.lease.Spec.HolderIdentity}
}

// age is the time since the last change of the record.
func (r leaseRecord) age(c clock.PassiveClock) time.Duration {
	if r.lease.Spec.RenewTime == nil {
		return 0
	}
	return c.Since(r.lease.Spec.RenewTime.Time)
}

// leaseRecords reads and writes the Leases. Every write is conditional on the
// resource version that was read: a Conflict or NotFound error means that
// another replica changed the Lease first, and that it must be read again.
type leaseRecords struct {
	client    client.Client
	namespace string
	clock     clock.PassiveClock
}

// find returns the record of a fingerprint, or false if there is none.
func (s *leaseRecords) find(ctx context.Context, fingerprint string) (leaseRecord, bool, error) {
	lease := &coordinationv1.Lease{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: leaseName(fingerprint)}, lease)
	switch {
	case apierrors.IsNotFound(err):
		return leaseRecord{}, false, nil
	case err != nil:
		return leaseRecord{}, false, fmt.Errorf("read lease %s/%s: %w", s.namespace, leaseName(fingerprint), err)
	case !(leaseRecord{lease}).valid() || lease.Annotations[fingerprintAnnotation] != fingerprint:
		return leaseRecord{}, false, fmt.Errorf("annotations of lease %s/%s do not match fingerprint %s: delete the lease",
			s.namespace, lease.Name, fingerprint)
	}
	return leaseRecord{lease}, true, nil
}

// create creates the record of a fingerprint. An AlreadyExists error means that
// another replica did.
func (s *leaseRecords) create(ctx context.Context, fingerprint, requestNamespace string) (leaseRecord, error) {
	now := metav1.NewMicroTime(s.clock.Now())
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   s.namespace,
			Name:        leaseName(fingerprint),
			Labels:      map[string]string{managedByLabel: managedByGateway},
			Annotations: map[string]string{fingerprintAnnotation: fingerprint, namespaceAnnotation: requestNamespace},
		},
		Spec: coordinationv1.LeaseSpec{LeaseTransitions: new(int32), AcquireTime: &now, RenewTime: &now},
	}
	if err := s.client.Create(ctx, lease); err != nil {
		return leaseRecord{}, fmt.Errorf("create lease %s/%s: %w", s.namespace, lease.Name, err)
	}
	return leaseRecord{lease}, nil
}

// bind gives the current name to an object.
func (s *leaseRecords) bind(ctx context.Context, r leaseRecord, uid types.UID) error {
	holder := r.request()
	return s.update(ctx, r, func(lease *coordinationv1.Lease) {
		lease.Spec.HolderIdentity = &holder.Name
		lease.Annotations[holderNamespaceAnnotation] = holder.Namespace
		lease.Annotations[uidAnnotation] = string(uid)
	})
}

// advance moves the record to its next name.
func (s *leaseRecords) advance(ctx context.Context, r leaseRecord, requestNamespace string) error {
	return s.update(ctx, r, func(lease *coordinationv1.Lease) {
		next := r.transitions() + 1
		lease.Spec.LeaseTransitions = &next
		lease.Annotations[namespaceAnnotation] = requestNamespace
	})
}

// renew sets the time of the last change.
func (s *leaseRecords) renew(ctx context.Context, r leaseRecord) error {
	return s.update(ctx, r, func(*coordinationv1.Lease) {})
}

// update writes a changed copy. The holder remains until the next bind: a late
// "resolved" signal belongs to its request.
func (s *leaseRecords) update(ctx context.Context, r leaseRecord, change func(*coordinationv1.Lease)) error {
	lease := r.lease.DeepCopy()
	change(lease)
	now := metav1.NewMicroTime(s.clock.Now())
	lease.Spec.RenewTime = &now
	if err := s.client.Update(ctx, lease); err != nil {
		return fmt.Errorf("update lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return nil
}

// outpaced reports whether a write failed because another one came first.
func outpaced(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err)
}

// ignoreOutpaced drops such an error: the next round reads the new state.
func ignoreOutpaced(err error) error {
	if outpaced(err) {
		return nil
	}
	return err
}
