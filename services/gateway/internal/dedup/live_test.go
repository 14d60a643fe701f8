package dedup_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/dedup"
)

// slowReader takes a second for each read.
type slowReader struct {
	client.Reader

	reads atomic.Int32
	err   error
}

func (r *slowReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	r.reads.Add(1)
	object.SetName(key.Name)
	object.SetCreationTimestamp(now())
	select {
	case <-time.After(time.Second):
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestConcurrentCallsShareReadsThatBeginAfterThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := &slowReader{}
		get := dedup.NewLiveReads(reader, clock.RealClock{})
		key := types.NamespacedName{Namespace: "a", Name: "b"}
		call := func() {
			called := time.Now()
			r, err := get(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			// The fake server returns the time of its read as the creation timestamp.
			if r.CreationTimestamp.Time.Before(called) {
				t.Errorf("called at %v, saw the state of %v", called, r.CreationTimestamp)
			}
		}
		go call()
		synctest.Wait()
		<-time.After(time.Millisecond)
		for range 100 {
			go call()
		}
		synctest.Wait()
		if n := reader.reads.Load(); n != 1 {
			t.Errorf("%d reads while the first one is under way, want 1", n)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n := reader.reads.Load(); n != 2 {
			t.Errorf("%d reads for 101 calls, want 2", n)
		}
	})
}

func TestACancelledCallDoesNotCancelTheSharedRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		get := dedup.NewLiveReads(&slowReader{}, clock.RealClock{})
		key := types.NamespacedName{Namespace: "a", Name: "b"}
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		second := make(chan error, 1)
		go func() { _, err := get(ctx, key); first <- err }()
		go func() { _, err := get(t.Context(), key); second <- err }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first caller got %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second caller got %v", err)
		}
		// The read that the first caller asked for goes on without it.
		<-time.After(2 * time.Second)
	})
}

// A storm of duplicates: callers that take different times between two calls.
func TestReadsPerDuplicateInAStorm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		callers int
		bar     float64
	}{{12, 0.25}, {64, 0.1}}
	for _, test := range tests {
		t.Run(strconv.Itoa(test.callers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reader := &quickReader{}
				get := dedup.NewLiveReads(reader, clock.RealClock{})
				key := types.NamespacedName{Namespace: "a", Name: "b"}
				const calls = 200
				var group sync.WaitGroup
				for caller := range test.callers {
					group.Go(func() {
						for call := range calls {
							if _, err := get(t.Context(), key); err != nil {
								t.Error(err)
							}
							<-time.After(time.Duration(5+(caller*7+call*3)%25) * time.Millisecond)
						}
					})
				}
				group.Wait()
				<-time.After(time.Second) // the reads have ended
				if ratio := float64(reader.reads.Load()) / float64(calls*test.callers); ratio > test.bar {
					t.Errorf("%.2f reads for each duplicate, want at most %.2f", ratio, test.bar)
				}
			})
		})
	}
}

// One caller after the other does not wait for others.
func TestALoneCallerDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := &quickReader{}
		get := dedup.NewLiveReads(reader, clock.RealClock{})
		begun := time.Now()
		for range 10 {
			if _, err := get(t.Context(), types.NamespacedName{Name: "b"}); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != 10*time.Millisecond || reader.reads.Load() != 10 {
			t.Errorf("%d reads took %v", reader.reads.Load(), took)
		}
	})
}

// quickReader takes a millisecond for each read.
type quickReader struct {
	client.Reader

	reads atomic.Int32
}

func (r *quickReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	r.reads.Add(1)
	<-time.After(time.Millisecond)
	return nil
}
