package audit_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

var err500 = &audit.SinkError{Status: http.StatusInternalServerError}

// poisonSink answers 500 to every batch that has an event of id "poison".
func poisonSink(into *audittest.MemorySink) *sinkFunc {
	return &sinkFunc{write: func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
		for i := range batch {
			if batch[i].CorrelationID[0] == 'p' {
				return audit.Ack{}, err500
			}
		}
		return into.Write(ctx, batch)
	}}
}

func giveUpOn(t *testing.T, s *audit.Store) {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.Close(over)
}

// Regression test: a refusal after the store had given up used to touch events that
// were gone.
func TestF10_ARefusalAfterTheStoreGaveUpDoesNoHarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		sink := &sinkFunc{write: func(context.Context, []audit.Event) (audit.Ack, error) {
			<-answer
			return audit.Ack{}, &audit.RefusedError{Items: []audit.Refusal{{Index: 0, Code: "invalid"}}}
		}}
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "a")
		f := startFlush(t, s)
		synctest.Wait()
		giveUpOn(t, s)
		_, _ = f.wait()
		close(answer)
		synctest.Wait()
	})
}

// Regression test: a poison event used to hold up the good events behind it in its batch.
func TestF9_APoisonEventHoldsUpNobodyOfItsBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := audittest.NewMemorySink()
		s, err := audit.New(poisonSink(into))
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "pg")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := s.FlushFor(ctx, "g"); err != nil {
			t.Errorf("flush for the good one: %v", err)
		}
		giveUpOn(t, s)
	})
}

// Regression test: stalled deliveries used to count against WithInFlight.
func TestF9_StalledDeliveriesDoNotUseUpTheBatchesInFlight(t *testing.T) {
	for name, c := range map[string]struct {
		n       int
		poisons []string
	}{"one": {1, []string{"p"}}, "default": {4, []string{"p1", "p2", "p3", "p4"}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into := audittest.NewMemorySink()
				s, err := audit.New(poisonSink(into), audit.WithInFlight(c.n), audit.WithBatch(1, audit.DefaultBatchBytes))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range c.poisons {
					record(t, s, audittest.NewEvent("test.a.b", p))
				}
				<-time.After(time.Hour)
				record(t, s, audittest.NewEvent("test.a.b", "good"))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if _, err := s.FlushFor(ctx, "good"); err != nil {
					t.Errorf("flush for the good one: %v", err)
				}
				giveUpOn(t, s)
			})
		})
	}
}

// Regression test: deliveries stalled by a full quarantine used to hold up all others.
func TestF9_AFullQuarantineHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.bad"))
		l := beginOver(t, openSpool(t, spooltest.NewDisk(), spool.WithQuarantine(1, 1<<20)), sink)
		for _, id := range []string{"b0", "b1", "b2", "b3", "b4"} {
			bad := numberedEvent(id, 0)
			bad.Type = "test.spool.bad"
			record(t, l.Store, bad)
			_, _ = flushWithin(t, l.Store, time.Second)
		}
		l.numbered(t, "good", 0, 5)
		_, _ = flushWithin(t, l.Store, time.Minute)
		if got := len(sink.EventsOf("good")); got != 5 {
			t.Errorf("%d of 5 good events are stored", got)
		}
		giveUpOn(t, l.Store)
	})
}

// Regression test: more than 4,096 waiting events of a stalled correlation id used
// to hide the events behind them.
func TestF13_ALongQueueOfAStalledIDHidesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := audittest.NewMemorySink()
		s, err := audit.New(poisonSink(into))
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, audittest.NewEvent("test.a.b", "p"))
		<-time.After(time.Hour) // it is stalled
		const others = 20_000
		for range others {
			record(t, s, audittest.NewEvent("test.a.b", "p"))
		}
		record(t, s, audittest.NewEvent("test.a.b", "good"))
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Millisecond) // no timer but this
		defer cancel()
		if _, err := s.FlushFor(ctx, "good"); err != nil {
			t.Errorf("flush for the good one: %.200v", err)
		}
		<-time.After(20 * time.Second)
		synctest.Wait()
		t.Logf("after 20 s: %d stored", len(into.EventsOf("good")))
		giveUpOn(t, s)
	})
}

// Regression test: a spool that could be read again used to be reported as failing.
func TestASpoolThatCanBeReadAgainIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk()
		first := begin(t, disk, downSink())
		first.numbered(t, "a", 0, 5)
		first.kill(t, disk)
		down := audittest.NewMemorySink()
		down.Fail(errDown)
		var failing atomic.Bool
		failing.Store(true)
		kept := &heldReads{Spool: openSpool(t, disk), after: func(k []audit.SpooledEvent, d int, err error) ([]audit.SpooledEvent, int, error) {
			if failing.Load() {
				return nil, 0, errors.New("disk says no")
			}
			return k, d, err
		}}
		s, err := audit.New(down, audit.WithSpool(kept))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		failing.Store(false)
		<-time.After(time.Minute)
		e := asFlushError(t, errorOf(flushWithin(t, s, time.Second)))
		t.Logf("%v", e)
		if e.SpoolError != nil {
			t.Errorf("spool error %v although it was read", e.SpoolError)
		}
		giveUpOn(t, s)
	})
}

// Regression test: unnamed events that a retry had stored used to be reported still.
func TestF2_UnnamedRejectionsThatAreStoredLaterAreNotReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.event"))
		l := begin(t, spooltest.NewDisk(), sink)
		l.numbered(t, "a", 0, 1002)
		_, _ = l.Flush(t.Context())
		sink.Reject(nil)
		if n, err := l.Retry(t.Context()); n != 1002 || err != nil {
			t.Fatal(n, err)
		}
		_, err := l.Flush(t.Context())
		if err != nil {
			t.Errorf("all is stored, and the quarantine has %d: %v", len(quarantined(t, l.Store)), err)
		}
		giveUpOn(t, l.Store)
	})
}

// Regression test: a sink that answers 500 to everything used to count as up.
func TestF12_ASinkThatAlwaysAnswers500IsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &sinkFunc{write: func(context.Context, []audit.Event) (audit.Ack, error) { return audit.Ack{}, err500 }}
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "abcd")
		<-time.After(time.Minute)
		e := asFlushError(t, errorOf(flushWithin(t, s, time.Second)))
		if e.SinkError == nil {
			t.Errorf("no sink error after a minute of 500: %v", e)
		}
		giveUpOn(t, s)
	})
}

// A hook may call the store.
func TestAHookMayCallTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.pipeline.event"))
		var s *audit.Store
		done := make(chan struct{})
		s, err := audit.New(sink, audit.WithHook(func(m audit.HookPoint, _ int) {
			if m == audit.HookRejected {
				go func() { _, _ = s.AcknowledgeUnnamed(); close(done) }()
				select {
				case <-done:
				case <-time.After(time.Hour):
					t.Error("the hook was called with a lock held")
				}
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "a")
		_, _ = s.Flush(t.Context())
		giveUpOn(t, s)
	})
}

// Regression test: a Record of Stored durability whose group was written after the
// store had given up used to wait forever.
func TestAStrictRecordEndsWithTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
		sink := downSink()
		l := beginOver(t, held, sink, audit.WithBounds(1, 2<<20), audit.WithFullPolicy(audit.Spill))
		l.numbered(t, "a", 0, 3) // there is a backlog: the next go through the spool
		held.hold()
		go func() { _ = l.Record(t.Context(), numberedEvent("b", 0)) }()
		synctest.Wait()
		got := make(chan error, 1)
		go func() { got <- l.RecordWith(t.Context(), numberedEvent("c", 0), audit.Stored) }()
		synctest.Wait()
		giveUpOn(t, l.Store)
		held.release()
		select {
		case err := <-got:
			t.Logf("record: %v", err)
		case <-time.After(24 * time.Hour):
			t.Error("a day after Close the Record of a stored event still waits")
		}
	})
}

func TestF11_NothingOvertakesAPoisonEventOfItsID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := audittest.NewMemorySink()
		sick := true
		sink := &sinkFunc{write: func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
			for i := range batch {
				if sick && string(batch[i].Data) == `{"n":0}` {
					return audit.Ack{}, err500
				}
			}
			return into.Write(ctx, batch)
		}}
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "xyxyz")
		<-time.After(time.Hour)
		synctest.Wait()
		if got := order(into); got != "yyz" {
			t.Errorf("stored %q beside the poison, want yyz", got)
		}
		sick = false
		flush(t, s)
		if got := order(into); got != "yyzxx" {
			t.Errorf("stored %q", got)
		}
		_ = s.Close(t.Context())
	})
}

// Regression test: 500s with successes in between used to count as consecutive,
// and the fourth as the fault of the events.
func TestF9_ScatteredFailuresAreTheSinks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(map[string]bool)
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			first := string(batch[0].Data)
			switch {
			case len(batch) > 4:
				return audit.Ack{}, audit.ErrRefused // and so the delivery is halved into parts of 4
			case !failed[first]:
				failed[first] = true
				return audit.Ack{}, err500
			default:
				return audit.Ack{Created: len(batch)}, nil
			}
		}}
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, s, "aaaabbbbccccdddd")
		<-time.After(time.Minute)
		if got := sink.sizes(); !slices.Equal(got, []int{16, 8, 4, 4, 4, 4, 8, 4, 4, 4, 4}) {
			t.Errorf("batches %v, want each part of 4 to fail once and then to be stored whole", got)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}
