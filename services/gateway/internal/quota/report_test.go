package quota_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/quota"
)

// reports collects what a Reporter reports.
type reports struct {
	mu      sync.Mutex
	signals []int64 // guarded by mu
	err     error   // guarded by mu
}

// fail makes the reports from now on fail; nil makes them succeed.
func (r *reports) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *reports) report(_ context.Context, x *quota.Exceedance) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.signals = append(r.signals, x.Signals)
	return nil
}

// reporting runs a test in a bubble with a Reporter that is stopped at its end.
func reporting(t *testing.T, test func(t *testing.T, r *quota.Reporter, got *reports, exceed func() error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		got := &reports{}
		r := quota.NewReporter(quota.ReporterOptions{Report: got.report, Clock: clock.RealClock{}, Log: zap.NewNop()})
		overflow := &v1alpha1.RemediationRequest{}
		overflow.UID = types.UID("u")
		test(t, r, got, func() error {
			return r.Exceeded(t.Context(), overflow, &quota.ExceededError{Bound: quota.BoundNamespace, Limit: 1})
		})
	})
}

func equal(t *testing.T, when string, r *reports, want ...int64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.signals
	if len(got) != len(want) {
		t.Fatalf("%s: reports %v, want %v", when, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: reports %v, want %v", when, got, want)
		}
	}
}

func TestExceedancesAreReportedAtOnceAndThenTogether(t *testing.T) {
	t.Parallel()
	reporting(t, func(t *testing.T, r *quota.Reporter, got *reports, exceed func() error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, func() time.Duration { return time.Second }) }()
		for range 1000 {
			if err := exceed(); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "at once", got, 1)
		<-time.After(10 * time.Second)
		synctest.Wait()
		equal(t, "after an interval", got, 1, 999)
		if err := exceed(); err != nil {
			t.Fatal(err)
		}
		equal(t, "soon after", got, 1, 999)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		equal(t, "at the end", got, 1, 999, 1)
	})
}

func TestAReportThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	reporting(t, func(t *testing.T, r *quota.Reporter, got *reports, exceed func() error) {
		t.Helper()
		full := errors.New("full")
		got.fail(full)
		if err := exceed(); !errors.Is(err, full) {
			t.Errorf("the signal was accepted: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, func() time.Duration { return time.Second }) }()
		got.fail(nil)
		<-time.After(time.Second)
		if err := exceed(); err != nil {
			t.Fatal(err)
		}
		got.fail(errors.New("full"))
		<-time.After(9 * time.Second)
		synctest.Wait()
		equal(t, "while reports fail", got)
		got.fail(nil)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		equal(t, "at the end", got, 1)
	})
}
