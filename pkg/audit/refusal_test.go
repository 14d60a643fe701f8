package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestF9_OneBadEventNeverTakesItsBatchWithIt(t *testing.T) {
	t.Parallel()
	const events = 100
	bad := map[int]bool{0: true, 41: true, 42: true, 99: true}

	for name, refusal := range map[string]error{
		"named by the sink":       errors.New("not wanted"),
		"found by sending halves": fmt.Errorf("%w: something is not wanted", audit.ErrRefused),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, sink, _ := audittest.NewStore(t)
			sink.Reject(func(e audit.Event) error {
				if e.CorrelationID == "bad" {
					return refusal
				}
				return nil
			})
			for i := range events {
				e := audittest.NewEvent("test.refusal.event", "good")
				if bad[i] {
					e.CorrelationID = "bad"
				}
				record(t, store, e)
			}
			e := asFlushError(t, errorOf(store.Flush(t.Context())))
			if e.Stored != events-len(bad) || len(e.Rejected) != len(bad) || e.Pending != 0 {
				t.Errorf("%d stored, %d rejected, %d pending, want %d, %d, 0", e.Stored, len(e.Rejected), e.Pending, events-len(bad), len(bad))
			}
			if n := len(sink.EventsOf("good")); n != events-len(bad) {
				t.Errorf("the sink has %d good events, want %d", n, events-len(bad))
			}
			for _, r := range e.Rejected {
				if r.CorrelationID != "bad" || r.Reason == "" {
					t.Errorf("rejected %+v, want a bad one with a reason", r)
				}
				acknowledge(t, store, 1, r.ID)
			}
			if name == "named by the sink" && sink.Writes() != 2 {
				t.Errorf("%d writes, want one that is refused and one of the rest", sink.Writes())
			}
		})
	}

	t.Run("a refusal that names what is not there is halved", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.FailNext(&audit.RefusedError{Items: []audit.Refusal{{Index: 0, Reason: "a"}, {Index: 7, Reason: "b"}}})
		for range 4 {
			record(t, store, audittest.NewEvent("test.refusal.event", "good"))
		}
		flush(t, store)
		if got := sink.Batches(); len(got) != 3 || got[1] != 2 || got[2] != 2 {
			t.Errorf("batches %v, want 4, 2, 2", got)
		}
	})

	t.Run("any other failure keeps everything pending", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.FailNext(errDown, &audit.SinkError{Status: 401}, &audit.SinkError{Status: 500}, &audit.SinkError{Err: errDown})
			for range 3 {
				record(t, store, audittest.NewEvent("test.refusal.event", "good"))
			}
			for range 10 {
				clock.Step(time.Minute)
				synctest.Wait()
			}
			if n := len(sink.Events()); n != 3 || len(quarantined(t, store)) != 0 {
				t.Errorf("%d stored, %d in quarantine, want 3 and 0", n, len(quarantined(t, store)))
			}
		})
	})
}

func TestLoggingARefusalDoesNotHoldTheStore(t *testing.T) {
	t.Parallel()
	logged := make(chan struct{})
	var store *audit.Store
	sink := audittest.NewMemorySink()
	logs := logbook{on: func() {
		free := make(chan struct{})
		go func() {
			_, _ = store.Quarantine()
			close(free)
		}()
		select {
		case <-free:
		case <-time.After(10 * time.Second):
			t.Error("the store cannot be used while it logs")
		}
		close(logged)
	}}
	store = newStore(t, sink, audit.WithLogger(logs.logger()))
	sink.Reject(rejectType("test.refusal.bad"))
	bad := audittest.NewEvent("test.refusal.bad", "a")
	bad.ID = audit.DerivedID(audittest.Epoch(), "bad")
	record(t, store, bad)
	if _, err := store.Flush(t.Context()); err == nil {
		t.Error("flush: nil, want the rejection")
	}
	<-logged
	acknowledge(t, store, 1, bad.ID)
}

func TestBackoff(t *testing.T) {
	t.Parallel()

	t.Run("doubles, with jitter, up to the longest pause", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(1, 1<<20), audit.WithBackoff(time.Second, 4*time.Second))
			sink.Fail(errDown)
			record(t, store, audittest.NewEvent("test.backoff.event", "a"))
			synctest.Wait()
			for attempt, longest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
				clock.Step(longest/2 - time.Millisecond)
				synctest.Wait()
				if n := sink.Writes(); n != attempt+1 {
					t.Fatalf("%d writes before half of the pause %v, want %d", n, longest, attempt+1)
				}
				clock.Step(longest/2 + time.Millisecond)
				synctest.Wait()
				if n := sink.Writes(); n != attempt+2 {
					t.Fatalf("%d writes after the pause %v, want %d", n, longest, attempt+2)
				}
			}
			sink.Recover()
		})
	})

	t.Run("never comes back before the sink said so", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(1, 1<<20), audit.WithBackoff(time.Second, 4*time.Second))
			sink.FailNext(&audit.SinkError{Status: 503, RetryAfter: 20 * time.Second})
			record(t, store, audittest.NewEvent("test.backoff.event", "a"))
			synctest.Wait()
			clock.Step(20*time.Second - time.Millisecond)
			synctest.Wait()
			if n := sink.Writes(); n != 1 {
				t.Errorf("%d writes before Retry-After, want 1", n)
			}
			clock.Step(time.Second)
			synctest.Wait()
			if n := sink.Writes(); n != 2 {
				t.Errorf("%d writes after Retry-After, want 2", n)
			}
		})
	})

	t.Run("a write that hangs is ended and tried again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(1, 1<<20), audit.WithWriteTimeout(2*time.Second))
			sink.Hang()
			record(t, store, audittest.NewEvent("test.backoff.event", "a"))
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if err := sink.AwaitWrites(ctx, 2); err == nil {
				t.Error("second write without a tick")
			}
			sink.Recover()
			flush(t, store)
			if n := sink.Writes(); n != 2 {
				t.Errorf("%d writes, want 2", n)
			}
		})
	})
}
