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

// await waits in its own goroutine.
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

func TestHooksAwaitsACount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hooks := audittest.NewHooks()
		done := await(func() error { return hooks.Await(t.Context(), audit.HookStored, 2) })
		hooks.Reached(audit.HookStored, 5)
		hooks.Reached(audit.HookWriting, 7)
		stillWaits(t, done)
		hooks.Reached(audit.HookStored, 3)
		if err := <-done; err != nil {
			t.Errorf("await: %v", err)
		}
		if err := hooks.Await(t.Context(), audit.HookStored, 1); err != nil {
			t.Errorf("await what was seen: %v", err)
		}
		if times, events := hooks.Count(audit.HookStored), hooks.Events(audit.HookStored); times != 2 || events != 8 {
			t.Errorf("seen %d times with %d events, want 2 with 8", times, events)
		}
		if n := hooks.Count(audit.HookFailed); n != 0 {
			t.Errorf("seen %d times, want never", n)
		}
	})
}

// What happened before Next does not count, what happens before the wait does.
func TestHooksAwaitsTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hooks := audittest.NewHooks()
		hooks.Reached(audit.HookFailed, 1)
		next := hooks.Next(audit.HookFailed)
		done := await(func() error { return next(t.Context()) })
		stillWaits(t, done)
		hooks.Reached(audit.HookFailed, 1)
		if err := <-done; err != nil {
			t.Errorf("next: %v", err)
		}
		if err := next(t.Context()); err != nil {
			t.Errorf("next that has passed: %v", err)
		}
	})
}

func TestHooksSaysWhatItSawInstead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hooks := audittest.NewHooks()
		if s := hooks.String(); s != "nothing" {
			t.Errorf("seen %q, want nothing", s)
		}
		hooks.Reached(audit.HookWriting, 1)
		hooks.Reached(audit.HookWaitingForFlush, 1)
		hooks.Reached(audit.HookWriting, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := hooks.Await(ctx, audit.HookStored, 3)
		const want = `await hook point "stored" (seen: waiting for flush 1, writing 2): 0 of 3: context deadline exceeded`
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}
