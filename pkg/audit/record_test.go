package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// leastBytes is the smallest bound that WithBounds takes.
const leastBytes = 1<<20 + 64<<10

func TestF6_ADeadSinkNeverBlocksRecordPastItsContextNorGrowsMemory(t *testing.T) {
	t.Parallel()

	t.Run("wait: until the context ends, and not accepted then", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBounds(2, audit.DefaultMaxBytes))
			sink.Hang()
			record(t, store, audittest.NewEvent("test.full.first", "a"))
			record(t, store, audittest.NewEvent("test.full.second", "a"))

			const patience = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			started := time.Now()
			err := store.Record(ctx, audittest.NewEvent("test.full.third", "a"))
			if took := time.Since(started); took != patience {
				t.Errorf("record took %v, want %v", took, patience)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, audit.ErrFull) {
				t.Errorf("record: %v, want one that wraps the context's error and ErrFull", err)
			}
			sink.Recover()
			flush(t, store)
			if n := len(sink.Events()); n != 2 {
				t.Errorf("stored %d events, want the 2 accepted ones", n)
			}
		})
	})

	t.Run("wait: goes on when there is room, without any tick", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t, audit.WithBounds(2, audit.DefaultMaxBytes))
		for i := range 50 {
			record(t, store, audittest.NewEvent("test.full.next", fmt.Sprintf("a-%d", i)))
		}
		flush(t, store)
		if n := len(sink.Events()); n != 50 {
			t.Errorf("stored %d events, want 50", n)
		}
	})

	t.Run("wait: what fills the bytes is sent before its interval", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBounds(100, leastBytes))
			for range 5 {
				e := audittest.NewEvent("test.full.big", "a")
				e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", 400<<10))
				record(t, store, e)
			}
			flush(t, store)
			storedEvents(t, sink, 5)
		})
	})

	t.Run("wait: Close ends it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBounds(1, audit.DefaultMaxBytes))
			sink.Hang()
			record(t, store, audittest.NewEvent("test.full.first", "a"))
			waiting := make(chan error, 1)
			go func() { waiting <- store.Record(t.Context(), audittest.NewEvent("test.full.second", "a")) }()
			synctest.Wait()
			closing := make(chan error, 1)
			go func() { closing <- store.Close(t.Context()) }()
			if err := <-waiting; !errors.Is(err, audit.ErrClosed) {
				t.Errorf("record: %v, want ErrClosed", err)
			}
			sink.Recover()
			if err := <-closing; err != nil {
				t.Errorf("close: %v", err)
			}
		})
	})

	t.Run("refuse: at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBounds(2, audit.DefaultMaxBytes), audit.WithFullPolicy(audit.Refuse))
			sink.Hang()
			record(t, store, audittest.NewEvent("test.full.first", "a"))
			record(t, store, audittest.NewEvent("test.full.second", "a"))
			started := time.Now()
			if err := store.Record(t.Context(), audittest.NewEvent("test.full.third", "a")); !errors.Is(err, audit.ErrFull) {
				t.Errorf("record: %v, want ErrFull", err)
			}
			if took := time.Since(started); took != 0 {
				t.Errorf("refusal took %v", took)
			}
			sink.Recover()
			flush(t, store)
			record(t, store, audittest.NewEvent("test.full.fourth", "a"))
		})
	})

	t.Run("the bound of bytes", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t, audit.WithBounds(100, leastBytes), audit.WithFullPolicy(audit.Refuse))
		sink.Fail(errDown)
		accepted := 0
		for range 5 {
			e := audittest.NewEvent("test.full.big", "a")
			e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", 400<<10))
			switch err := store.Record(t.Context(), e); {
			case err == nil:
				accepted++
			case !errors.Is(err, audit.ErrFull):
				t.Fatalf("record: %v", err)
			}
		}
		if accepted != 2 {
			t.Errorf("accepted %d events of 400 KiB, want 2 in little more than 1 MiB", accepted)
		}
		sink.Recover()
	})
}

func TestF7_EveryEventIsStoredExactlyOnce(t *testing.T) {
	t.Parallel()

	t.Run("a write that failed after it had stored is replayed and recognised", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.FailNextAfterStoring(errDown)
			sink.FailNextAfterStoring(errDown)
			for range 5 {
				record(t, store, audittest.NewEvent("test.once.replayed", "a"))
			}
			for range 3 {
				clock.Step(time.Minute)
				synctest.Wait()
			}
			if sink.Writes() != 3 || len(sink.Events()) != 5 {
				t.Errorf("stored %d events in %d writes, want 5 in 3", len(sink.Events()), sink.Writes())
			}
			flush(t, store)
		})
	})

	t.Run("the store assigns a UUIDv7, and keeps an id of the caller's", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		derived := audittest.NewEvent("test.once.derived", "a")
		derived.ID = audit.DerivedID(audittest.Epoch(), "uid", "1", "Completed")
		record(t, store, audittest.NewEvent("test.once.assigned", "a"))
		record(t, store, derived)
		flush(t, store)
		record(t, store, derived) // the same step again, after a crash or a conflict
		flush(t, store)
		stored := storedEvents(t, sink, 2)
		if stored[0].ID.Version() != 7 || stored[1].ID != derived.ID {
			t.Errorf("stored %+v, want a v7 and %s", stored, derived.ID)
		}
		if at := time.UnixMilli(unixMilli(stored[0].ID)); !at.Equal(audittest.Epoch()) {
			t.Errorf("id has the time %v, want the clock's %v", at, audittest.Epoch())
		}
	})
}

func TestF11_EventsOfAStoreAreOrderedAsAccepted(t *testing.T) {
	t.Parallel()

	t.Run("strictly later microseconds on a clock that stands still or goes back", func(t *testing.T) {
		t.Parallel()
		store, sink, clock := audittest.NewStore(t, audit.WithBatch(7, 1<<20))
		const events = 300
		for i := range events {
			if i == events/2 {
				clock.SetTime(audittest.Epoch().Add(-4 * time.Minute))
			}
			e := audittest.NewEvent("test.order.event", "a")
			e.Data = fmt.Appendf(nil, `{"n":%d}`, i)
			record(t, store, e)
		}
		flush(t, store)
		assertInOrder(t, sink.EventsOf("a"), events)
	})

	t.Run("failures and refusals change nothing in it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(16, 1<<20))
			sink.FailNext(errDown, errDown)
			sink.Reject(func(e audit.Event) error {
				if e.CorrelationID == "unnamed" {
					return audit.ErrRefused
				}
				return nil
			})
			for i := range 100 {
				e := audittest.NewEvent("test.order.event", "a")
				e.Data = fmt.Appendf(nil, `{"n":%d}`, i)
				record(t, store, e)
				if i%10 == 3 {
					record(t, store, audittest.NewEvent("test.order.bad", "unnamed"))
				}
			}
			for range 5 {
				synctest.Wait()
				clock.Step(time.Minute)
			}
			if _, err := store.FlushFor(t.Context(), "a"); err != nil {
				t.Errorf("flush: %v", err)
			}
			assertInOrder(t, sink.EventsOf("a"), 100)
			assertInOrder(t, sink.Events(), 100)
			for _, q := range quarantined(t, store) {
				acknowledge(t, store, 1, q.ID)
			}
		})
	})

	t.Run("a timestamp of the caller's is kept to the microsecond", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		e := audittest.NewEvent("test.order.own", "a")
		e.Timestamp = time.Date(2026, 1, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
		record(t, store, e)
		flush(t, store)
		if got, want := storedEvents(t, sink, 1)[0].Timestamp, time.Date(2026, 1, 1, 11, 0, 0, 123_456_000, time.UTC); got != want {
			t.Errorf("timestamp %v, want %v", got, want)
		}
	})
}

// assertInOrder wants n events with n counting up in their data, and strictly
// increasing timestamps, ids and sequence numbers.
func assertInOrder(t *testing.T, events []audit.Event, n int) {
	t.Helper()
	if len(events) != n {
		t.Fatalf("%d events, want %d", len(events), n)
	}
	for i, e := range events {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(e.Data) != want {
			t.Fatalf("event %d has data %s, want %s", i, e.Data, want)
		}
		if i == 0 {
			continue
		}
		before := events[i-1]
		if !e.Timestamp.After(before.Timestamp) || e.ID.String() <= before.ID.String() || e.Producer.Sequence <= before.Producer.Sequence {
			t.Fatalf("event %d (%v, %s, %+v) is not after its predecessor (%v, %s, %+v)",
				i, e.Timestamp, e.ID, e.Producer, before.Timestamp, before.ID, before.Producer)
		}
	}
}

func TestF13_NobodyHasToFlush(t *testing.T) {
	t.Parallel()

	t.Run("a batch is sent when its interval has passed since its first event", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			step := func(d time.Duration, wantWrites, wantEvents int) {
				t.Helper()
				clock.Step(d)
				synctest.Wait()
				if sink.Writes() != wantWrites || len(sink.Events()) != wantEvents {
					t.Errorf("%d writes with %d events, want %d with %d", sink.Writes(), len(sink.Events()), wantWrites, wantEvents)
				}
			}
			step(time.Hour, 0, 0)
			record(t, store, audittest.NewEvent("test.interval.first", "a"))
			step(60*time.Millisecond, 0, 0)
			record(t, store, audittest.NewEvent("test.interval.second", "a"))
			step(39*time.Millisecond, 0, 0) // 99 ms
			step(time.Millisecond, 1, 2)    // 100 ms
			step(time.Hour, 1, 2)
			record(t, store, audittest.NewEvent("test.interval.third", "a"))
			step(99*time.Millisecond, 1, 2)
			step(time.Millisecond, 2, 3)
		})
	})

	t.Run("a full batch is sent at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(3, 1<<20))
			for range 2 {
				record(t, store, audittest.NewEvent("test.interval.event", "a"))
			}
			synctest.Wait()
			if n := sink.Writes(); n != 0 {
				t.Errorf("%d writes of a batch that is not full", n)
			}
			for range 2 {
				record(t, store, audittest.NewEvent("test.interval.event", "a"))
				synctest.Wait()
			}
			if got := sink.Batches(); len(got) != 1 || got[0] != 3 {
				t.Errorf("batches %v, want one of 3", got)
			}
			// The fourth event has its own interval.
			clock.Step(audit.DefaultInterval - time.Millisecond)
			synctest.Wait()
			if n := sink.Writes(); n != 1 {
				t.Errorf("%d writes before the interval of the fourth event", n)
			}
			clock.Step(time.Millisecond)
			synctest.Wait()
			if got := sink.Batches(); len(got) != 2 || got[1] != 1 {
				t.Errorf("batches %v, want a second one of 1", got)
			}
		})
	})

	t.Run("a tick for events that a flush took does no harm", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			gate := &gatedSink{Sink: audittest.NewMemorySink(), entered: make(chan struct{}), result: make(chan error)}
			clock := clocktesting.NewFakeClock(audittest.Epoch())
			store := newStore(t, gate, audit.WithClock(clock))
			record(t, store, audittest.NewEvent("test.interval.first", "a"))
			clock.Step(audit.DefaultInterval)
			<-gate.entered
			record(t, store, audittest.NewEvent("test.interval.behind", "a"))
			clock.Step(audit.DefaultInterval)
			flushed := startFlush(t, store)
			synctest.Wait()
			gate.result <- nil
			<-gate.entered
			record(t, store, audittest.NewEvent("test.interval.next", "a"))
			clock.Step(audit.DefaultInterval) // would block if the tick before were still there
			gate.result <- nil
			if _, err := flushed.wait(); err != nil {
				t.Errorf("flush: %v", err)
			}
			<-gate.entered
			gate.result <- nil
		})
	})

	t.Run("what a full batch leaves behind keeps its interval", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(3, 1<<20))
			sink.Hang()
			for range 7 { // one batch in flight, one full, one event left
				record(t, store, audittest.NewEvent("test.interval.event", "a"))
				synctest.Wait()
			}
			clock.Step(60 * time.Millisecond)
			sink.Recover()
			synctest.Wait()
			clock.Step(39 * time.Millisecond)
			synctest.Wait()
			if got := sink.Batches(); len(got) != 2 {
				t.Errorf("batches %v 99 ms after the event that is left, want two", got)
			}
			clock.Step(time.Millisecond)
			synctest.Wait()
			if got := sink.Batches(); len(got) != 3 || got[2] != 1 {
				t.Errorf("batches %v 100 ms after the event that is left, want a third of 1", got)
			}
		})
	})

	t.Run("a batch is full in bytes as well", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(1000, 10_000))
			big := audittest.NewEvent("test.interval.big", "a")
			big.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", 4000))
			record(t, store, big)
			synctest.Wait()
			if n := sink.Writes(); n != 0 {
				t.Errorf("%d writes of a batch that is not full", n)
			}
			record(t, store, big)
			synctest.Wait()
			if got := sink.Batches(); len(got) != 1 {
				t.Errorf("batches %v, want one", got)
			}
		})
	})

	t.Run("what waited out its interval behind a slow write goes next", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.Hang()
			record(t, store, audittest.NewEvent("test.interval.slow", "a"))
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			record(t, store, audittest.NewEvent("test.interval.behind", "a"))
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			sink.Recover()
			synctest.Wait()
			if got := sink.Batches(); len(got) != 2 || len(sink.Events()) != 2 {
				t.Errorf("batches %v with %d events stored, want two with 2", got, len(sink.Events()))
			}
		})
	})
}

func TestRecord(t *testing.T) {
	t.Parallel()

	t.Run("keeps a copy, and leaves the caller's event alone", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		took := 1500 * time.Microsecond
		e := audittest.NewEvent("test.record.copy", "a")
		e.Duration = &took
		record(t, store, e)
		if e.ID != uuid.Nil || !e.Timestamp.IsZero() || e.Version != "" || e.Producer != (audit.Producer{}) {
			t.Errorf("record changed the caller's event: %+v", e)
		}
		copy(e.Data, `{"oops":1}  `)
		took = 0
		flush(t, store)
		got := storedEvents(t, sink, 1)[0]
		if string(got.Data) != `{"test":true}` || *got.Duration != 1500*time.Microsecond || got.Version != audit.SchemaVersion {
			t.Errorf("stored %+v, want what was recorded", got)
		}
		want := audit.Producer{ID: "test", Epoch: audittest.Epoch().UnixMilli(), Sequence: 1}
		if got.Producer != want {
			t.Errorf("producer %+v, want %+v", got.Producer, want)
		}
	})

	t.Run("refuses an invalid event to its caller", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		e := audittest.NewEvent("test.record.invalid", "")
		var invalid *audit.ValidationError
		if err := store.Record(t.Context(), e); !errors.As(err, &invalid) || invalid.Fields["correlation_id"] == "" {
			t.Errorf("record: %v, want a *ValidationError for correlation_id", err)
		}
		if err := store.Record(t.Context(), nil); err == nil {
			t.Error("record of nil is nil")
		}
		flush(t, store)
		if sink.Writes() != 0 {
			t.Error("an invalid event reached the sink")
		}
	})

	t.Run("accepts under a context that ended, as long as there is room", func(t *testing.T) {
		t.Parallel()
		store, _, _ := audittest.NewStore(t)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := store.Record(ended, audittest.NewEvent("test.record.shutdown", "a")); err != nil {
			t.Errorf("record: %v", err)
		}
	})
}

func unixMilli(id uuid.UUID) int64 {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

func TestClockIsTheOnlySourceOfTime(t *testing.T) {
	t.Parallel()
	sink := audittest.NewMemorySink()
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	store := newStore(t, sink, audit.WithClock(clocktesting.NewFakeClock(at)))
	record(t, store, audittest.NewEvent("test.clock.event", "a"))
	flush(t, store)
	e := storedEvents(t, sink, 1)[0]
	if e.Timestamp != at || e.Producer.Epoch != at.UnixMilli() || !json.Valid(e.Data) {
		t.Errorf("event %+v, want the clock's time %v", e, at)
	}
}
