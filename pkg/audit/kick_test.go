package audit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// deadSink fails at once and counts the attempts.
type deadSink struct {
	attempts atomic.Int64
	alive    atomic.Bool
}

func (s *deadSink) Write(_ context.Context, events []audit.Event) (audit.Ack, error) {
	s.attempts.Add(1)
	if s.alive.Load() {
		return audit.Ack{Created: len(events)}, nil
	}
	return audit.Ack{}, &audit.SinkError{Err: errDown}
}

// TestRemoteFlushesDoNotEndTheBackoffOfADeadSinkEachTime is a regression test:
// 2,759 attempts were made within 5.8 s.
func TestRemoteFlushesDoNotEndTheBackoffOfADeadSinkEachTime(t *testing.T) {
	t.Parallel()
	attempts := func(flushes int, mark func(context.Context) context.Context) int64 {
		var made int64
		synctest.Test(t, func(t *testing.T) {
			sink := &deadSink{}
			store := newStore(t, sink, audit.WithClock(clock.RealClock{}))
			record(t, store, audittest.NewEvent("test.kick.event", "a"))
			<-time.After(time.Second)
			var flushing sync.WaitGroup
			for range flushes / 10 {
				for range 10 {
					flushing.Go(func() {
						ctx, cancel := context.WithTimeout(mark(t.Context()), time.Millisecond)
						defer cancel()
						_, _ = store.Flush(ctx)
					})
				}
				flushing.Wait()
				<-time.After(time.Millisecond)
			}
			<-time.After(10*time.Second - 2*time.Millisecond*time.Duration(flushes/10))
			made = sink.attempts.Load()
			sink.alive.Store(true)
			flush(t, store)
		})
		return made
	}
	none := attempts(0, audit.Remote)
	many := attempts(3000, audit.Remote) // within 600 ms
	if many > none+6 {
		t.Errorf("3,000 flushes led to %d attempts, none to %d", many, none)
	}
	t.Logf("attempts in 11 s: %d without a flush, %d with 3,000", none, many)
}

func TestF4_ARemoteFlushThatCameTooEarlyIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &deadSink{}
		store := newStore(t, sink) // on a clock that never ticks: only a flush ends the backoff
		record(t, store, audittest.NewEvent("test.kick.event", "a"))
		ended, cancel := context.WithTimeout(audit.Remote(t.Context()), time.Millisecond)
		defer cancel()
		if _, err := store.Flush(ended); err == nil {
			t.Fatal("flush of a dead sink is nil")
		}
		synctest.Wait()
		sink.alive.Store(true)
		began := time.Now()
		if _, err := store.Flush(audit.Remote(t.Context())); err != nil {
			t.Errorf("flush: %v", err)
		}
		if took := time.Since(began); took != 99*time.Millisecond {
			t.Errorf("the attempt was made after %v, want what was left of 100ms", took)
		}
	})
}
