package occurrence

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// maxConflicts bounds how often one write is repeated because others changed
// the status meanwhile; the counter tries again later.
const maxConflicts = 8

// StatusWriter adds occurrences to status.deduplication. Each write is
// conditional on the version that it read, so that the counts of replicas add
// up. It changes no other field of the status.
type StatusWriter struct {
	client client.Client
}

// NewStatusWriter returns a writer. The client must not read from a cache.
func NewStatusWriter(c client.Client) *StatusWriter { return &StatusWriter{client: c} }

// Add adds duplicates to the request's count, which begins at 1 for the signal
// in the request's spec.
func (w *StatusWriter) Add(ctx context.Context, r Request, duplicates int64, lastSeen time.Time) error {
	var err error
	for range maxConflicts {
		if err = w.add(ctx, r, duplicates, lastSeen); !apierrors.IsConflict(err) {
			return err
		}
	}
	return err
}

func (w *StatusWriter) add(ctx context.Context, r Request, duplicates int64, lastSeen time.Time) error {
	request := &v1alpha1.RemediationRequest{}
	err := w.client.Get(ctx, r.NamespacedName, request)
	if apierrors.IsNotFound(err) || (err == nil && request.UID != r.UID) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read status of %s: %w", r.Name, err)
	}
	read := request.DeepCopy()
	if !count(request, duplicates, lastSeen) {
		return nil
	}
	patch := client.MergeFromWithOptions(read, client.MergeFromWithOptimisticLock{})
	err = w.client.Status().Patch(ctx, request, patch)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write status of %s: %w", r.Name, err)
	}
	return nil
}

// count updates the request's status and reports whether anything changed.
func count(request *v1alpha1.RemediationRequest, duplicates int64, lastSeen time.Time) bool {
	seen := metav1.NewMicroTime(lastSeen.UTC().Truncate(time.Microsecond))
	d := request.Status.Deduplication
	if d == nil {
		d = &v1alpha1.Deduplication{
			FirstSeenAt:     request.Spec.ReceivedTime,
			LastSeenAt:      request.Spec.ReceivedTime,
			OccurrenceCount: 1,
		}
		request.Status.Deduplication = d
	} else if duplicates == 0 {
		return false
	}
	d.OccurrenceCount += duplicates
	if d.LastSeenAt.Before(&seen) {
		d.LastSeenAt = seen
	}
	return true
}
