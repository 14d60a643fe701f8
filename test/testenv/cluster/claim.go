package cluster

import (
	"context"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	claimName = "kubernaut-e2e"
	// claimExpiry is longer than a run takes: an older claim was left by a run that died.
	claimExpiry = 30 * time.Minute
)

// claim ensures that no other run restarts and kills what this one tests.
func (s *Shared) claim(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("claim the cluster: %w", err)
	}
	now := metav1.NowMicro()
	mine := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: System, Name: claimName},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new(fmt.Sprintf("process %d on %s", os.Getpid(), host)), AcquireTime: &now,
		},
	}
	err = s.env.Create(ctx, mine)
	if apierrors.IsAlreadyExists(err) {
		if err = s.removeExpired(ctx, mine); err == nil {
			err = s.env.Create(ctx, mine)
		}
	}
	if err != nil {
		return fmt.Errorf("claim the cluster: %w", err)
	}
	s.claimed = mine
	return nil
}

// removeExpired removes a claim that has expired.
func (s *Shared) removeExpired(ctx context.Context, mine *coordinationv1.Lease) error {
	theirs := &coordinationv1.Lease{}
	if err := s.env.Get(ctx, client.ObjectKeyFromObject(mine), theirs); err != nil {
		return client.IgnoreNotFound(err)
	}
	if since := ptr.Deref(theirs.Spec.AcquireTime, metav1.MicroTime{}); time.Since(since.Time) < claimExpiry {
		return fmt.Errorf("claimed by another run (%s) since %s: wait until it ends or, if it died, delete lease %s of namespace %s",
			ptr.Deref(theirs.Spec.HolderIdentity, ""), since.UTC().Format(time.TimeOnly), claimName, System)
	}
	return client.IgnoreNotFound(s.env.Delete(ctx, theirs, client.Preconditions{UID: &theirs.UID}))
}

// release lets the next run begin.
func (s *Shared) release(ctx context.Context) error {
	if s.claimed == nil {
		return nil
	}
	if err := client.IgnoreNotFound(s.env.Delete(ctx, s.claimed, client.Preconditions{UID: &s.claimed.UID})); err != nil {
		return fmt.Errorf("release the cluster: %w", err)
	}
	return nil
}
