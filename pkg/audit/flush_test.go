package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

var errDown = errors.New("connection refused")

func TestF1_FlushReturnsNilOnlyWhenEverythingAcceptedIsStored(t *testing.T) {
	t.Parallel()

	t.Run("events of all goroutines are stored when flush returns nil", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		const producers, each = 8, 150
		var producing sync.WaitGroup
		for p := range producers {
			producing.Go(func() {
				for range each {
					record(t, store, audittest.NewEvent("test.flush.all", fmt.Sprintf("producer-%d", p)))
				}
			})
		}
		producing.Wait()

		receipt := flush(t, store)
		if got := len(sink.Events()); got != producers*each {
			t.Errorf("stored %d events, want %d", got, producers*each)
		}
		if receipt.Barrier != producers*each || receipt.ConsistencyToken == "" {
			t.Errorf("receipt %+v, want barrier %d and a consistency token", receipt, producers*each)
		}
	})

	t.Run("waits for the batch in flight and for the events behind it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.Hang()
			record(t, store, audittest.NewEvent("test.flush.in_flight", "a"))
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			record(t, store, audittest.NewEvent("test.flush.behind", "a"))

			flushed := startFlush(t, store)
			synctest.Wait()
			flushed.stillRuns(t)
			sink.Recover()
			receipt, err := flushed.wait()
			if err != nil || receipt.Events != 2 || len(sink.Events()) != 2 {
				t.Errorf("flush: %+v, %v with %d events stored, want 2 of 2", receipt, err, len(sink.Events()))
			}
		})
	})

	t.Run("a failed write is never nil", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.Fail(errDown)
			record(t, store, audittest.NewEvent("test.flush.failed", "a"))
			flushed := startFlush(t, store)
			for range 20 {
				synctest.Wait()
				clock.Step(time.Minute)
			}
			flushed.stillRuns(t)
			sink.FailNext(errDown, errDown)
			sink.Recover()
			for range 5 {
				synctest.Wait()
				clock.Step(time.Minute)
			}
			if _, err := flushed.wait(); err != nil || len(sink.Events()) != 1 {
				t.Errorf("flush: %v with %d events stored, want nil with 1", err, len(sink.Events()))
			}
		})
	})
}

func TestF2_RejectedAndLostEventsAreReportedUntilAcknowledged(t *testing.T) {
	t.Parallel()

	t.Run("a rejection is named, sticky, and gone when acknowledged", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Reject(rejectType("test.flush.bad"))
		bad := audittest.NewEvent("test.flush.bad", "theirs")
		bad.ID = audit.DerivedID(audittest.Epoch(), "bad")
		record(t, store, bad)
		record(t, store, audittest.NewEvent("test.flush.good", "ours"))

		for call := range 3 {
			_, err := store.Flush(t.Context())
			flushErr := asFlushError(t, err)
			want := audit.Rejection{
				Reference: audit.Reference{ID: bad.ID, Type: bad.Type, CorrelationID: bad.CorrelationID},
				Code:      "invalid", Reason: "not wanted",
			}
			if len(flushErr.Rejected) != 1 || flushErr.Rejected[0] != want {
				t.Fatalf("flush %d: rejected %+v, want %+v", call, flushErr.Rejected, want)
			}
			if call == 0 && (flushErr.Events != 2 || flushErr.Stored != 1 || flushErr.Pending != 0) {
				t.Errorf("flush: %d events, %d stored, %d pending, want 2, 1, 0", flushErr.Events, flushErr.Stored, flushErr.Pending)
			}
			record(t, store, audittest.NewEvent("test.flush.good", "ours")) // a later success changes nothing
		}
		if kept := quarantined(t, store); len(kept) != 1 || kept[0].Event == nil || string(kept[0].Event.Data) != string(bad.Data) {
			t.Errorf("quarantine %+v, want the event with its data", kept)
		}

		if n, err := store.Acknowledge(bad.ID, uuid.New()); n != 1 || err != nil {
			t.Errorf("acknowledged %d, want 1", n)
		}
		flush(t, store)
	})

	t.Run("FlushFor neither waits for others nor reports on them", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(1, 1<<20))
			sink.Reject(rejectType("test.flush.bad"))
			bad := audittest.NewEvent("test.flush.bad", "theirs")
			record(t, store, bad)
			record(t, store, audittest.NewEvent("test.flush.good", "ours"))
			synctest.Wait()
			sink.Hang()
			record(t, store, audittest.NewEvent("test.flush.good", "theirs"))
			synctest.Wait()

			if _, err := store.FlushFor(t.Context(), "ours"); err != nil {
				t.Errorf("flush for ours: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := store.FlushFor(ctx, "theirs")
			if e := asFlushError(t, err); len(e.Rejected) != 1 || e.Pending != 1 || e.Events != 1 {
				t.Errorf("flush for theirs: %+v, want 1 rejected and 1 pending", e)
			}
			sink.Recover()
			flushErr := asFlushError(t, errorOf(store.Flush(t.Context())))
			for _, r := range flushErr.Rejected {
				acknowledge(t, store, 1, r.ID)
			}
		})
	})

	t.Run("names the first 1,000 and counts the rest", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Reject(rejectType("test.flush.bad"))
		const rejected = 1500
		for i := range rejected {
			record(t, store, audittest.NewEvent("test.flush.bad", fmt.Sprintf("theirs-%d", i)))
		}
		e := asFlushError(t, errorOf(store.Flush(t.Context())))
		if len(e.Rejected) != 1000 || e.RejectedUnnamed != rejected-1000 {
			t.Errorf("named %d and counted %d, want 1000 and %d", len(e.Rejected), e.RejectedUnnamed, rejected-1000)
		}
		if _, err := store.FlushFor(t.Context(), "ours"); err != nil {
			t.Errorf("flush for ours: %v", err)
		}
		last := asFlushError(t, errorOf(store.FlushFor(t.Context(), "theirs-1499")))
		if len(last.Rejected) != 0 || last.RejectedUnnamed != 1 {
			t.Errorf("flush for the last one: %+v, want one without a name", last)
		}

		ids := make([]uuid.UUID, len(e.Rejected))
		for i, r := range e.Rejected {
			ids[i] = r.ID
		}
		if n, err := store.Acknowledge(ids...); n != len(ids) || err != nil {
			t.Errorf("acknowledged %d, want %d", n, len(ids))
		}
		if e := asFlushError(t, errorOf(store.Flush(t.Context()))); e.RejectedUnnamed != rejected-1000 {
			t.Errorf("counted %d after acknowledging the named, want %d", e.RejectedUnnamed, rejected-1000)
		}
		if n, err := store.AcknowledgeUnnamed(); n != rejected-1000 || err != nil {
			t.Errorf("acknowledged %d unnamed, want %d", n, rejected-1000)
		}
		flush(t, store)
	})

	t.Run("what Close gave up on is lost and stays reported", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Fail(errDown)
		lost := audittest.NewEvent("test.flush.lost", "a")
		lost.ID = audit.DerivedID(audittest.Epoch(), "lost")
		record(t, store, lost)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range map[string]error{
			"close":       store.Close(ended),
			"flush":       errorOf(store.Flush(t.Context())),
			"close again": store.Close(t.Context()),
		} {
			if e := asFlushError(t, err); len(e.Lost) != 1 || e.Lost[0].ID != lost.ID || e.Pending != 0 {
				t.Errorf("%s: %+v, want event %s lost", name, e, lost.ID)
			}
		}
		acknowledge(t, store, 1, lost.ID)
	})
}

func TestF3_FlushReturnsWhenItsContextEndsAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*audittest.MemorySink){
		"dead sink":    func(s *audittest.MemorySink) { s.Fail(errDown) },
		"hanging sink": func(s *audittest.MemorySink) { s.Hang() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, sink, _ := audittest.NewStore(t)
				fault(sink)
				for range 3 {
					record(t, store, audittest.NewEvent("test.flush.pending", "a"))
				}
				const patience = 250 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				started := time.Now()
				_, err := store.Flush(ctx)
				if took := time.Since(started); took != patience {
					t.Errorf("flush took %v, want %v", took, patience)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("flush: %v, want one that wraps the context's error", err)
				}
				e := asFlushError(t, err)
				if e.Pending != 3 || len(e.PendingEvents) != 3 || e.PendingEvents[0].Type != "test.flush.pending" {
					t.Errorf("flush: %+v, want 3 pending by name", e)
				}
				if name == "dead sink" && !strings.Contains(err.Error(), errDown.Error()) {
					t.Errorf("flush: %v, want the sink's error in it", err)
				}
				sink.Recover()
				if receipt := flush(t, store); receipt.Events != 3 || len(sink.Events()) != 3 {
					t.Errorf("second flush: %+v with %d stored, want all 3", receipt, len(sink.Events()))
				}
			})
		})
	}
}

func TestF4_FlushNeedsNoTimer(t *testing.T) {
	t.Parallel()

	t.Run("completes on a clock that never ticks", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			for range 10 {
				record(t, store, audittest.NewEvent("test.flush.frozen", "a"))
				flush(t, store)
			}
			storedEvents(t, sink, 10)
		})
	})

	t.Run("completes on a frozen clock after the sink came back", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Fail(errDown)
			record(t, store, audittest.NewEvent("test.flush.frozen", "a"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := store.Flush(ctx); err == nil {
				t.Fatal("flush into a dead sink is nil")
			}
			sink.Recover()
			flush(t, store)
		})
	})

	t.Run("a sink that came back during an attempt that then fails gets another one", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			gate := &gatedSink{Sink: audittest.NewMemorySink(), entered: make(chan struct{}), result: make(chan error)}
			store := newStore(t, gate)
			record(t, store, audittest.NewEvent("test.flush.frozen", "a"))
			first := startFlush(t, store)
			<-gate.entered
			second := startFlush(t, store)
			synctest.Wait()
			gate.result <- errDown
			<-gate.entered // without any tick
			gate.result <- nil
			if _, err := first.wait(); err != nil {
				t.Errorf("first flush: %v", err)
			}
			if _, err := second.wait(); err != nil {
				t.Errorf("second flush: %v", err)
			}
		})
	})

	t.Run("makes no request when nothing is pending", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		if receipt := flush(t, store); receipt != (audit.Receipt{}) {
			t.Errorf("receipt %+v, want an empty one", receipt)
		}
		record(t, store, audittest.NewEvent("test.flush.once", "a"))
		first := flush(t, store)
		again := flush(t, store)
		if sink.Writes() != 1 || again.Events != 0 || again.Barrier != 1 || again.ConsistencyToken != first.ConsistencyToken {
			t.Errorf("%d writes, receipt %+v, want 1 write and the barrier and token of the first flush", sink.Writes(), again)
		}
	})
}

func TestF5_ConcurrentFlushesShareTheirWrites(t *testing.T) {
	t.Parallel()

	t.Run("1000 flushes of one pending batch cost at most three writes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Hang()
			record(t, store, audittest.NewEvent("test.flush.shared", "a"))
			const flushes = 1000
			running := make([]*runningFlush, flushes)
			for i := range running {
				running[i] = startFlush(t, store)
			}
			synctest.Wait()
			sink.Recover()
			for _, f := range running {
				if _, err := f.wait(); err != nil {
					t.Fatalf("flush: %v", err)
				}
			}
			if n := sink.Writes(); n > 3 {
				t.Errorf("%d writes, want at most 3", n)
			}
		})
	})

	t.Run("a flush waits for its own barrier only", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			gate := &gatedSink{Sink: audittest.NewMemorySink(), entered: make(chan struct{}), result: make(chan error)}
			store := newStore(t, gate)
			record(t, store, audittest.NewEvent("test.flush.before", "a"))
			early := startFlush(t, store)
			<-gate.entered
			record(t, store, audittest.NewEvent("test.flush.after", "a"))
			late := startFlush(t, store)
			gate.result <- nil
			<-gate.entered // the second batch is under way and does not end
			if receipt, err := early.wait(); err != nil || receipt.Barrier != 1 {
				t.Errorf("early flush: %+v, %v, want barrier 1", receipt, err)
			}
			late.stillRuns(t)
			gate.result <- nil
			if receipt, err := late.wait(); err != nil || receipt.Barrier != 2 {
				t.Errorf("late flush: %+v, %v, want barrier 2", receipt, err)
			}
		})
	})
}

// gatedSink lets the test decide when, and how, each write ends.
type gatedSink struct {
	audit.Sink

	entered chan struct{}
	result  chan error
}

func (s *gatedSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	select {
	case s.entered <- struct{}{}:
	case <-ctx.Done():
		return audit.Ack{}, ctx.Err()
	}
	select {
	case err := <-s.result:
		if err != nil {
			return audit.Ack{}, err
		}
	case <-ctx.Done():
		return audit.Ack{}, ctx.Err()
	}
	return s.Sink.Write(ctx, batch)
}
