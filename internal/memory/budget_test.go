package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/internal/memory"
)

const mib = 1 << 20

func take(t *testing.T, a *memory.Account, n int64) {
	t.Helper()
	if err := a.Take(t.Context(), n); err != nil {
		t.Fatalf("take %d bytes: %v", n, err)
	}
}

func TestACallerNeverUsesWhatOthersNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.NewBudget(100 * mib)
		greedy := 0
		for range 100 { // requests that keep what they have
			a := b.Open("greedy", nil)
			defer a.Close()
			if a.Take(t.Context(), mib) == nil {
				greedy++
			}
		}
		if greedy < 45 || greedy > 52 {
			t.Errorf("one caller got %d of 100 MiB, want about half", greedy)
		}
		began := time.Now()
		other := b.Open("other", nil)
		defer other.Close()
		take(t, other, 20*mib)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the other caller waited %s for its share", waited)
		}
	})
}

func TestOneRequestAloneMayUseEverything(t *testing.T) {
	t.Parallel()
	b := memory.NewBudget(100)
	a := b.Open("alone", nil)
	for range 100 {
		take(t, a, 1)
	}
	if err := a.Take(t.Context(), 1); !errors.Is(err, memory.ErrBusy) {
		t.Errorf("got %v beyond the budget", err)
	}
	a.Close()
	a.Close()
	if b.Used() != 0 {
		t.Errorf("%d bytes in use after the end", b.Used())
	}
}

// Regression test: requests that each held part of what they needed used to wait
// for each other until all of them were refused.
func TestRequestsThatGrowTogetherFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const requests, each = 64, 16
		b := memory.NewBudget(48 * mib) // for three of them
		var mu sync.Mutex
		finished, refused := 0, 0
		var group sync.WaitGroup
		for range requests {
			group.Go(func() {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				a := b.Open("caller", func() { cancel(memory.ErrBusy) })
				defer a.Close()
				for range each {
					if err := a.Take(ctx, mib); err != nil {
						mu.Lock()
						defer mu.Unlock()
						refused++
						return
					}
					<-time.After(time.Millisecond) // virtual: the bytes arrive
				}
				mu.Lock()
				defer mu.Unlock()
				finished++
			})
		}
		group.Wait()
		if finished < requests*9/10 {
			t.Errorf("%d requests finished, %d were refused", finished, refused)
		}
		if b.Used() != 0 {
			t.Errorf("%d bytes in use after the end", b.Used())
		}
	})
}

func TestACallerBelowItsShareTakesMemoryBack(t *testing.T) {
	t.Parallel()
	b := memory.NewBudget(100 * mib)
	aborted := make(chan struct{})
	idle := b.Open("idle", func() { close(aborted) })
	take(t, idle, 95*mib)
	got := make(chan error)
	behaved := b.Open("behaved", nil)
	defer behaved.Close()
	go func() { got <- behaved.Take(t.Context(), 30*mib) }()
	<-aborted
	if err := idle.Take(t.Context(), 1); !errors.Is(err, memory.ErrBusy) {
		t.Errorf("the preempted request got %v", err)
	}
	if err := idle.Keep(); !errors.Is(err, memory.ErrBusy) {
		t.Errorf("the preempted request may keep its memory: %v", err)
	}
	idle.Close()
	if err := <-got; err != nil {
		t.Errorf("the caller below its share got %v", err)
	}
}

func TestMemoryThatIsKeptIsNotTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.NewBudget(100 * mib)
		kept := b.Open("a", func() { t.Error("the request was aborted") })
		take(t, kept, 95*mib)
		if err := kept.Keep(); err != nil {
			t.Fatal(err)
		}
		other := b.Open("b", nil)
		defer other.Close()
		began := time.Now()
		if err := other.Take(t.Context(), 10*mib); !errors.Is(err, memory.ErrBusy) {
			t.Errorf("got %v while everything was in use", err)
		}
		if waited := time.Since(began); waited < time.Second || waited > 5*time.Second {
			t.Errorf("refused after %s", waited)
		}
		kept.Close()
		take(t, other, 1)
	})
}

func TestAWaitEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	b := memory.NewBudget(10)
	a := b.Open("a", nil)
	defer a.Close()
	take(t, a, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := b.Open("b", nil)
	defer other.Close()
	if err := other.Take(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
