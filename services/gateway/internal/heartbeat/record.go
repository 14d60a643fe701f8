package heartbeat

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Labels and annotations of a heartbeat's Lease. Its renewal is when the heartbeat
// was seen, or began to be expected.
const (
	componentLabel      = "app.kubernetes.io/component"
	component           = "heartbeat"
	heartbeatAnnotation = "kubernaut.ai/heartbeat"
	// lostAnnotation is when the heartbeat had stayed away for too long; none while it is there.
	lostAnnotation = "kubernaut.ai/lost-since"
	// reportedAnnotation is when the loss was last reported as a signal.
	reportedAnnotation = "kubernaut.ai/lost-reported"
)

// record is the state of a heartbeat as its Lease had it when it was read. There
// is no Lease yet if it has no resource version.
type record struct{ lease *coordinationv1.Lease }

func (r record) exists() bool { return r.lease.ResourceVersion != "" }

// seen is when a heartbeat was seen, or began to be expected; zero without a Lease.
func (r record) seen() time.Time {
	if r.lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return r.lease.Spec.RenewTime.Time
}

// lostSince is zero while the heartbeat is there.
func (r record) lostSince() time.Time { return r.time(lostAnnotation) }

func (r record) reported() time.Time { return r.time(reportedAnnotation) }

// time reads an annotation. One that somebody has broken counts as absent.
func (r record) time(annotation string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, r.lease.Annotations[annotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

func (r record) setTime(annotation string, at time.Time) {
	r.lease.Annotations[annotation] = at.UTC().Format(time.RFC3339Nano)
}

// setSeen ends a loss.
func (r record) setSeen(at time.Time) {
	if at.After(r.seen()) {
		r.lease.Spec.RenewTime = new(metav1.NewMicroTime(at))
	}
	delete(r.lease.Annotations, lostAnnotation)
	delete(r.lease.Annotations, reportedAnnotation)
}

// records reads and writes the Leases. Every write depends on the resource version
// that was read: another replica may have come first.
type records struct {
	client    client.Client
	namespace string
}

// read returns the record of a heartbeat, for the caller to change and write.
func (s *records) read(ctx context.Context, b *Beat) (record, error) {
	lease := &coordinationv1.Lease{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: b.lease}, lease)
	switch {
	case apierrors.IsNotFound(err):
		return record{&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: b.lease, Labels: map[string]string{componentLabel: component},
			Annotations: map[string]string{heartbeatAnnotation: b.String()},
		}}}, nil
	case err != nil:
		return record{}, fmt.Errorf("read lease %s/%s: %w", s.namespace, b.lease, err)
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	return record{lease}, nil
}

// write stores a changed record. It returns false if another replica came first.
func (s *records) write(ctx context.Context, r record) (bool, error) {
	var err error
	if r.exists() {
		err = s.client.Update(ctx, r.lease)
	} else {
		err = s.client.Create(ctx, r.lease)
	}
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err):
		return false, nil
	}
	return false, fmt.Errorf("write lease %s/%s: %w", s.namespace, r.lease.Name, err)
}
