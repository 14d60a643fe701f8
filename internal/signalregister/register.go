package signalregister

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// randomInName is how many random bytes a request's name has: 80 bits, so
	// that nobody can create a request under a name before the Gateway does.
	randomInName = 10
	// maxConflicts bounds how often Close starts over because others changed the record.
	maxConflicts = 8
)

// Options of a Register. All fields are required.
type Options struct {
	// Reader reads without a cache.
	Reader client.Reader
	Writer client.Writer
	// Namespace is the Gateway's own.
	Namespace string
	Clock     clock.PassiveClock
	// Random is the source of the names; it must be safe for concurrent use.
	Random io.Reader
}

// Register reads and writes records. It is safe for concurrent use. Every write
// depends on the resource version that was read: an error for which [Outpaced]
// is true means that somebody else was first, and that the record has to be
// read again.
type Register struct{ options Options }

// New returns the register of a Gateway's namespace.
func New(o Options) *Register { return &Register{options: o} }

// Request is what an opening tells the record about its request.
type Request struct {
	Namespace  string
	SpecDigest string
}

// Find returns the record of a fingerprint, or false if there is none.
func (g *Register) Find(ctx context.Context, fingerprint string) (Record, bool, error) {
	r, found, err := g.read(ctx, fingerprint)
	if err == nil && found && (!r.Valid() || r.Fingerprint() != fingerprint) {
		return Record{}, false, fmt.Errorf("lease %s/%s is not a record of fingerprint %s: delete the lease",
			g.options.Namespace, r.lease.Name, fingerprint)
	}
	return r, found, err
}

// Create makes the record of a fingerprint that has none, and so opens its first
// request. An AlreadyExists error means that the fingerprint has a record.
func (g *Register) Create(ctx context.Context, fingerprint string, request Request) (Record, error) {
	name, err := g.requestName(fingerprint)
	if err != nil {
		return Record{}, err
	}
	now := metav1.NewMicroTime(g.options.Clock.Now())
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.options.Namespace,
			Name:      LeaseName(fingerprint),
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
			Annotations: map[string]string{
				annotationFingerprint: fingerprint, annotationNamespace: request.Namespace,
				v1alpha1.AnnotationSpecDigest: request.SpecDigest, annotationState: string(Open),
			},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseTransitions: new(int32), AcquireTime: &now, RenewTime: &now},
	}
	if err := g.options.Writer.Create(ctx, lease); err != nil {
		return Record{}, fmt.Errorf("create lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return Record{lease}, nil
}

// Advance opens the next request of a record, under a name that never existed.
// The caller knows that nobody relies on the current request any more.
func (g *Register) Advance(ctx context.Context, r Record, request Request) (Record, error) {
	name, err := g.requestName(r.Fingerprint())
	if err != nil {
		return Record{}, err
	}
	return g.update(ctx, r, func(lease *coordinationv1.Lease, now metav1.MicroTime) {
		lease.Spec.HolderIdentity, lease.Spec.AcquireTime = &name, &now
		lease.Spec.LeaseTransitions = new(r.Transitions() + 1)
		lease.Annotations[annotationNamespace] = request.Namespace
		lease.Annotations[v1alpha1.AnnotationSpecDigest] = request.SpecDigest
		lease.Annotations[annotationState] = string(Open)
	})
}

// Suspect marks a record whose request does not exist. Its creator does not rely
// on the request unless it reinstates the record.
func (g *Register) Suspect(ctx context.Context, r Record) (Record, error) {
	return g.setState(ctx, r, Suspect)
}

// Reinstate makes a suspect record open, because its request exists.
func (g *Register) Reinstate(ctx context.Context, r Record) (Record, error) {
	return g.setState(ctx, r, Open)
}

// Close marks the record of a request that is about to be removed, so that the
// next signal opens another one without delay. It changes nothing if the record
// does not name the request. Calling it again is safe.
func (g *Register) Close(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	if len(request.Spec.SignalFingerprint) < fingerprintInLease {
		return nil
	}
	var err error
	for range maxConflicts {
		r, found, readErr := g.read(ctx, request.Spec.SignalFingerprint)
		if readErr != nil {
			return readErr
		}
		if !found || !r.Valid() || !r.Names(request) || r.State() == Closed {
			return nil
		}
		if _, err = g.setState(ctx, r, Closed); !Outpaced(err) {
			return err
		}
	}
	return err
}

// Remove deletes a record that has not changed since it was read.
func (g *Register) Remove(ctx context.Context, r Record) error {
	err := g.options.Writer.Delete(ctx, r.lease.DeepCopy(),
		client.Preconditions{UID: &r.lease.UID, ResourceVersion: &r.lease.ResourceVersion})
	if err != nil {
		return fmt.Errorf("delete lease %s/%s: %w", r.lease.Namespace, r.lease.Name, err)
	}
	return nil
}

func (g *Register) read(ctx context.Context, fingerprint string) (Record, bool, error) {
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: g.options.Namespace, Name: LeaseName(fingerprint)}
	err := g.options.Reader.Get(ctx, key, lease)
	switch {
	case apierrors.IsNotFound(err):
		return Record{}, false, nil
	case err != nil:
		return Record{}, false, fmt.Errorf("read lease %s: %w", key, err)
	}
	return Record{lease}, true, nil
}

func (g *Register) setState(ctx context.Context, r Record, state State) (Record, error) {
	return g.update(ctx, r, func(lease *coordinationv1.Lease, _ metav1.MicroTime) {
		lease.Annotations[annotationState] = string(state)
	})
}

func (g *Register) update(ctx context.Context, r Record, change func(lease *coordinationv1.Lease, now metav1.MicroTime)) (Record, error) {
	lease := r.lease.DeepCopy()
	now := metav1.NewMicroTime(g.options.Clock.Now())
	change(lease, now)
	lease.Spec.RenewTime = &now
	if err := g.options.Writer.Update(ctx, lease); err != nil {
		return Record{}, fmt.Errorf("update lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return Record{lease}, nil
}

// requestName chooses the name of a request.
func (g *Register) requestName(fingerprint string) (string, error) {
	if len(fingerprint) <= fingerprintInLease {
		return "", errors.New("open request: fingerprint " + fingerprint + " is too short")
	}
	random := make([]byte, randomInName)
	if _, err := io.ReadFull(g.options.Random, random); err != nil {
		return "", fmt.Errorf("choose the name of a request: %w", err)
	}
	return "rr-" + fingerprint[:fingerprintInName] + "-" + hex.EncodeToString(random), nil
}

// Outpaced reports whether a write failed because another one came first.
func Outpaced(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err)
}
