package audittest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// await waits in a goroutine of its own.
func await(wait func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- wait() }()
	return done
}

func stillWaits(t *testing.T, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("returned early: %v", err)
	default:
	}
}

func TestMomentsAwaitsACount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moments := audittest.NewMoments()
		done := await(func() error { return moments.Await(t.Context(), audit.MomentStored, 2) })
		moments.Observe(audit.MomentStored, 5)
		moments.Observe(audit.MomentWriting, 7)
		stillWaits(t, done)
		moments.Observe(audit.MomentStored, 3)
		if err := <-done; err != nil {
			t.Errorf("await: %v", err)
		}
		if err := moments.Await(t.Context(), audit.MomentStored, 1); err != nil {
			t.Errorf("await what was seen: %v", err)
		}
		if times, events := moments.Count(audit.MomentStored), moments.Events(audit.MomentStored); times != 2 || events != 8 {
			t.Errorf("seen %d times with %d events, want 2 with 8", times, events)
		}
		if n := moments.Count(audit.MomentFailed); n != 0 {
			t.Errorf("seen %d times, want never", n)
		}
	})
}

// What happened before Next does not count, what happens before the wait does.
func TestMomentsAwaitsTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moments := audittest.NewMoments()
		moments.Observe(audit.MomentFailed, 1)
		next := moments.Next(audit.MomentFailed)
		done := await(func() error { return next(t.Context()) })
		stillWaits(t, done)
		moments.Observe(audit.MomentFailed, 1)
		if err := <-done; err != nil {
			t.Errorf("next: %v", err)
		}
		if err := next(t.Context()); err != nil {
			t.Errorf("next that has passed: %v", err)
		}
	})
}

func TestMomentsSaysWhatItSawInstead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moments := audittest.NewMoments()
		if s := moments.String(); s != "nothing" {
			t.Errorf("seen %q, want nothing", s)
		}
		moments.Observe(audit.MomentWriting, 1)
		moments.Observe(audit.MomentWaitingForFlush, 1)
		moments.Observe(audit.MomentWriting, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := moments.Await(ctx, audit.MomentStored, 3)
		const want = `await moment "stored" (seen: waiting for flush 1, writing 2): 0 of 3: context deadline exceeded`
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}
