package audit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// runningRecord is a Record in its own goroutine.
type runningRecord struct {
	done chan struct{}
	err  error
}

func startRecord(ctx context.Context, store *audit.Store, e *audit.Event, durability audit.Durability) *runningRecord {
	r := &runningRecord{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = store.RecordWith(ctx, e, durability)
	}()
	return r
}

func (r *runningRecord) wait() error {
	<-r.done
	return r.err
}

func (r *runningRecord) stillRuns(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
		t.Fatalf("record returned early: %v", r.err)
	default:
	}
}

func TestF8_RecordWaitsUntilTheSinkHasTheEvent(t *testing.T) {
	t.Parallel()

	t.Run("record returns when the sink has the event, without any tick", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Hang()
			recording := startRecord(t.Context(), store, audittest.NewEvent("test.stored.event", "a"), audit.Stored)
			synctest.Wait()
			recording.stillRuns(t)
			sink.Recover()
			if err := recording.wait(); err != nil {
				t.Errorf("record: %v", err)
			}
			storedEvents(t, sink, 1)
		})
	})

	t.Run("by the type of the event", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t, audit.WithDurability(audit.Stored, "test.stored.strict", "test.stored.too"))
		record(t, store, audittest.NewEvent("test.stored.lax", "a"))
		if n := sink.Writes(); n != 0 {
			t.Errorf("%d writes for an event in memory durability, want none", n)
		}
		record(t, store, audittest.NewEvent("test.stored.strict", "a"))
		storedEvents(t, sink, 2)
	})

	t.Run("a refusal comes back to the caller, and stays in quarantine", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Reject(rejectType("test.stored.bad"))
		bad := audittest.NewEvent("test.stored.bad", "a")
		var rejected *audit.RejectedError
		if err := store.RecordWith(t.Context(), bad, audit.Stored); !errors.As(err, &rejected) || rejected.Type != bad.Type || rejected.Reason == "" {
			t.Fatalf("record: %v, want a *RejectedError that names the event", err)
		}
		if kept := quarantined(t, store); len(kept) != 1 {
			t.Errorf("%d events in quarantine, want 1", len(kept))
		}
		acknowledge(t, store, 1, rejected.ID)
	})

	t.Run("durabilities that cannot be had are refused", func(t *testing.T) {
		t.Parallel()
		store, _, _ := audittest.NewStore(t)
		e := audittest.NewEvent("test.stored.event", "a")
		for _, durability := range []audit.Durability{audit.Spooled, audit.Stored + 1, -1} {
			if err := store.RecordWith(t.Context(), e, durability); err == nil {
				t.Errorf("record with %v is nil without a spool", durability)
			}
		}
		for name, option := range map[string]audit.Option{
			"spooled":            audit.WithDurability(audit.Spooled),
			"spooled for a type": audit.WithDurability(audit.Spooled, "test.some.type"),
			"unknown":            audit.WithDurability(audit.Stored + 1),
			"no type":            audit.WithDurability(audit.Stored, "nodots"),
			"spill":              audit.WithFullPolicy(audit.Spill),
			"no spool":           audit.WithSpool(nil),
			"no tracer":          audit.WithTracer(nil),
			"no observer":        audit.WithHook(nil),
			"nothing in flight":  audit.WithInFlight(0),
			"too much in flight": audit.WithInFlight(65),
		} {
			if _, err := audit.New(audittest.NewMemorySink(), option); err == nil {
				t.Errorf("%s: New accepts it", name)
			}
		}
	})
}

func TestF6_ARecordThatStoppedWaitingForTheSinkIsInDoubt(t *testing.T) {
	t.Parallel()

	t.Run("because its context ended, and is safe to repeat", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Hang()
			e := audittest.NewEvent("test.stored.event", "a")
			e.ID = audit.DerivedID(audittest.Epoch(), "in doubt")
			ctx, cancel := context.WithCancel(t.Context())
			recording := startRecord(ctx, store, e, audit.Stored)
			synctest.Wait()
			cancel()
			if err := recording.wait(); !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, context.Canceled) {
				t.Errorf("record: %v, want ErrInDoubt and the context's error", err)
			}
			again := startRecord(t.Context(), store, e, audit.Stored)
			sink.Recover()
			if err := again.wait(); err != nil {
				t.Errorf("record again: %v", err)
			}
			flush(t, store)
			storedEvents(t, sink, 1)
		})
	})

	t.Run("because the store gave up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := audittest.NewMemorySink()
			sink.Fail(errDown)
			store, err := audit.New(sink)
			if err != nil {
				t.Fatal(err)
			}
			recording := startRecord(t.Context(), store, audittest.NewEvent("test.stored.event", "a"), audit.Stored)
			synctest.Wait()
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if err := store.Close(over); err == nil {
				t.Error("close is nil although an event was lost")
			}
			if err := recording.wait(); !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, audit.ErrClosed) {
				t.Errorf("record: %v, want ErrInDoubt and ErrClosed", err)
			}
		})
	})
}
