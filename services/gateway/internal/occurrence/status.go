package occurrence

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// maxConflicts bounds how often one write is repeated because others changed
// the status meanwhile.
const maxConflicts = 8

// StatusWriter writes status.deduplication and status.signals. Each write is
// conditional on the version that it read, so that the counts of replicas add
// up. It changes no other field of the status.
type StatusWriter struct {
	client client.Client
}

// NewStatusWriter returns a writer. The client must not read from a cache.
func NewStatusWriter(c client.Client) *StatusWriter { return &StatusWriter{client: c} }

// Write implements Writer.
func (w *StatusWriter) Write(ctx context.Context, r Request, b *Batch) ([]bool, error) {
	var beyond []bool
	var err error
	for range maxConflicts {
		if beyond, err = w.write(ctx, r, b); !apierrors.IsConflict(err) {
			return beyond, err
		}
	}
	return nil, err
}

func (w *StatusWriter) write(ctx context.Context, r Request, b *Batch) ([]bool, error) {
	request := &v1alpha1.RemediationRequest{}
	err := w.client.Get(ctx, r.NamespacedName, request)
	if apierrors.IsNotFound(err) || (err == nil && request.UID != r.UID) {
		return make([]bool, len(b.Changes)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read status of %s: %w", r.Name, err)
	}
	read := request.DeepCopy()
	beyond := b.update(request)
	if equality.Semantic.DeepEqual(read.Status, request.Status) {
		return beyond, nil
	}
	patch := client.MergeFromWithOptions(read, client.MergeFromWithOptimisticLock{})
	err = w.client.Status().Patch(ctx, request, patch)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("write status of %s: %w", r.Name, err)
	}
	return beyond, nil
}

// update changes the request's status. It returns for each change whether its
// instance is one of those that are not listed.
func (b *Batch) update(request *v1alpha1.RemediationRequest) []bool {
	count(request, b.Duplicates, b.LastSeen)
	beyond := make([]bool, len(b.Changes))
	if len(b.Changes)+len(b.Seen)+len(b.Beyond)+len(b.Ended) == 0 && request.Status.Signals == nil {
		return beyond
	}
	signals := Signals(request).DeepCopy()
	for at, c := range b.Changes {
		beyond[at] = apply(signals, c.Report, c.known)
	}
	for _, seen := range b.Beyond {
		countBeyond(signals, seen)
	}
	for _, seen := range b.Ended {
		endBeyond(signals, seen)
	}
	for _, r := range b.Seen {
		touch(signals, r)
	}
	if !b.Started.IsZero() {
		noteStart(signals, b.Started)
	}
	request.Status.Signals = signals
	return beyond
}

// count adds duplicates to the request's count, which begins at 1 for the
// signal in its spec.
func count(request *v1alpha1.RemediationRequest, duplicates int64, lastSeen time.Time) {
	if duplicates == 0 {
		return
	}
	d := request.Status.Deduplication
	if d == nil {
		d = &v1alpha1.Deduplication{
			FirstSeenAt:     request.Spec.ReceivedTime,
			LastSeenAt:      request.Spec.ReceivedTime,
			OccurrenceCount: 1,
		}
		request.Status.Deduplication = d
	}
	d.OccurrenceCount += duplicates
	later(&d.LastSeenAt, lastSeen)
}
