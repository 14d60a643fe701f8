package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

const spoolDir = "/var/spool/audit"

// process is one process of a process that records on a disk.
type process struct {
	*audit.Store

	hooks *audittest.Hooks
}

// begin opens the spool on a disk, and a store over it with a frozen clock.
// Nobody closes it: it ends with a crash, or with the test's own Close.
func begin(t *testing.T, disk *spooltest.Disk, sink audit.Sink, options ...audit.Option) process {
	t.Helper()
	return beginOver(t, openSpool(t, disk), sink, options...)
}

func openSpool(t *testing.T, disk *spooltest.Disk, options ...spool.Option) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spoolDir, append([]spool.Option{spool.WithFiles(disk), spool.WithSegmentBytes(64 << 10)}, options...)...)
	if err != nil {
		t.Fatalf("open spool: %v", err)
	}
	return s
}

func beginOver(t *testing.T, kept audit.Spool, sink audit.Sink, options ...audit.Option) process {
	t.Helper()
	l := process{hooks: audittest.NewHooks()}
	defaults := []audit.Option{
		audit.WithClock(clocktesting.NewFakeClock(audittest.Epoch())), audit.WithSpool(kept),
		audit.WithDurability(audit.Spooled), audit.WithHook(l.hooks.Reached),
	}
	store, err := audit.New(sink, append(defaults, options...)...)
	if err != nil {
		t.Fatalf("make store: %v", err)
	}
	l.Store = store
	return l
}

// end closes a store that can store everything.
func (l process) end(t *testing.T) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// kill crashes the disk, and ends the goroutines of the process on it.
func (l process) kill(t *testing.T, disk *spooltest.Disk) {
	t.Helper()
	disk.Crash()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = l.Close(over) // the dead report nothing
}

// diskWithPending is a disk on which a store died that pending events 0 to n, less one, of correlation id a.
func diskWithPending(t *testing.T, n int) *spooltest.Disk {
	t.Helper()
	disk := spooltest.NewDisk()
	l := begin(t, disk, downSink())
	l.numbered(t, "a", 0, n)
	l.kill(t, disk)
	return disk
}

// numbered records events n to m, less one, of a correlation id.
func (l process) numbered(t *testing.T, correlationID string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		record(t, l.Store, numberedEvent(correlationID, n))
	}
}

func numberedEvent(correlationID string, n int) *audit.Event {
	e := audittest.NewEvent("test.spool.event", correlationID)
	e.Data = fmt.Appendf(nil, `{"n":%d}`, n)
	return e
}

// wantNumbers wants events 0 to n, less one, of a correlation id, in order.
func wantNumbers(t *testing.T, sink *audittest.MemorySink, correlationID string, n int) {
	t.Helper()
	events := sink.EventsOf(correlationID)
	for i, e := range events {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(e.Data) != want {
			t.Fatalf("event %d of %s is %s, want %s", i, correlationID, e.Data, want)
		}
	}
	if len(events) != n {
		t.Fatalf("%d events of %s are stored, want %d", len(events), correlationID, n)
	}
}

// downSink is a memory sink that fails from the start.
func downSink() *audittest.MemorySink {
	sink := audittest.NewMemorySink()
	sink.Fail(errDown)
	return sink
}

func TestF8_AnAcceptedEventSurvivesTheProcess(t *testing.T) {
	t.Parallel()

	t.Run("the loss of power after record returned", func(t *testing.T) {
		t.Parallel()
		disk := diskWithPending(t, 300)

		sink := audittest.NewMemorySink()
		second := begin(t, disk, sink)
		receipt := flush(t, second.Store)
		if receipt.Events != 300 {
			t.Errorf("flush covered %d events, want 300", receipt.Events)
		}
		wantNumbers(t, sink, "a", 300)
		second.numbered(t, "a", 300, 310)
		second.end(t)
		wantNumbers(t, sink, "a", 310)
	})

	t.Run("only in the durability that says so", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		first := begin(t, disk, downSink(), audit.WithDurability(audit.Memory))
		record(t, first.Store, numberedEvent("memory", 0))
		if err := first.RecordWith(t.Context(), numberedEvent("a", 0), audit.Spooled); err != nil {
			t.Fatal(err)
		}
		first.kill(t, disk)

		sink := audittest.NewMemorySink()
		begin(t, disk, sink).end(t)
		wantNumbers(t, sink, "a", 1)
		wantNumbers(t, sink, "memory", 0)
	})

	t.Run("many deaths, in the order of acceptance, once", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		for n := range 10 {
			sink.FailAfterStoring(errDown)
			l := begin(t, disk, sink)
			l.numbered(t, "a", 10*n, 10*n+10)
			l.kill(t, disk)
		}
		sink.Recover()
		begin(t, disk, sink).end(t)
		wantNumbers(t, sink, "a", 100)
	})

	t.Run("the fields of an event, and who accepted it", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		down := downSink()
		first := begin(t, disk, down, audit.WithProducerID("first"))
		duration := 1500 * time.Microsecond
		e := numberedEvent("a", 0)
		e.ActorID, e.Duration, e.Sensitive, e.RetentionDays = "somebody", &duration, true, 7
		record(t, first.Store, e)
		first.kill(t, disk)

		sink := audittest.NewMemorySink()
		second := begin(t, disk, sink, audit.WithProducerID("second"))
		second.numbered(t, "a", 1, 2)
		second.end(t)
		events := sink.EventsOf("a")
		if len(events) != 2 {
			t.Fatalf("%d events are stored, want 2", len(events))
		}
		if got := events[0]; got.ActorID != "somebody" || got.Duration == nil || *got.Duration != duration || !got.Sensitive || got.RetentionDays != 7 || got.Producer.ID != "first" {
			t.Errorf("event %+v came back from the spool", got)
		}
		if got := events[1].Producer; got.ID != "second" || got.Sequence != 1 {
			t.Errorf("producer %+v of the second process, want its first event", got)
		}
	})

	t.Run("what was settled does not come back", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		first := begin(t, disk, sink)
		first.numbered(t, "a", 0, 50)
		first.end(t)

		writes := sink.Writes()
		second := begin(t, disk, sink)
		if receipt := flush(t, second.Store); receipt.Events != 0 {
			t.Errorf("flush covered %d events after a graceful end, want none", receipt.Events)
		}
		second.end(t)
		if got := sink.Writes(); got != writes {
			t.Errorf("%d writes after a graceful end, want none", got-writes)
		}
	})

	t.Run("concurrent calls share their fsyncs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
			l := beginOver(t, held, audittest.NewMemorySink())
			held.hold()
			var recording sync.WaitGroup
			for n := range 100 {
				recording.Go(func() { record(t, l.Store, numberedEvent("a", n)) })
			}
			synctest.Wait()
			held.release()
			recording.Wait()
			if got := held.appends(); got != 2 {
				t.Errorf("%d appends for the first record and the 99 behind it, want 2", got)
			}
			l.end(t)
		})
	})

	t.Run("record returns after the disk has confirmed, not before", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
			l := beginOver(t, held, audittest.NewMemorySink())
			held.hold()
			recording := startRecord(t.Context(), l.Store, numberedEvent("a", 0), audit.Spooled)
			synctest.Wait()
			recording.stillRuns(t)
			held.release()
			if err := recording.wait(); err != nil {
				t.Errorf("record: %v", err)
			}
			l.end(t)
		})
	})
}

// heldSpool is a spool whose appends can be held up, like those of a slow disk.
type heldSpool struct {
	audit.Spool

	mu    sync.Mutex
	gate  chan struct{}
	count int
}

func newHeldSpool(kept audit.Spool) *heldSpool { return &heldSpool{Spool: kept} }

func (h *heldSpool) Append(events []audit.Event, settled uint64) (uint64, error) {
	h.mu.Lock()
	h.count++
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return h.Spool.Append(events, settled)
}

func (h *heldSpool) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *heldSpool) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}

func (h *heldSpool) appends() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

func TestF6_RecordThroughASpoolThatFails(t *testing.T) {
	t.Parallel()

	t.Run("in doubt when the context ends during the write", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
			sink := audittest.NewMemorySink()
			l := beginOver(t, held, sink)
			held.hold()
			ctx, cancel := context.WithCancel(t.Context())
			written := startRecord(ctx, l.Store, numberedEvent("a", 0), audit.Spooled)
			synctest.Wait()
			queued := startRecord(ctx, l.Store, numberedEvent("a", 1), audit.Spooled)
			synctest.Wait()
			cancel()
			if err := written.wait(); !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, context.Canceled) {
				t.Errorf("record: %v, want ErrInDoubt and the context's error", err)
			}
			if err := queued.wait(); errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, context.Canceled) {
				t.Errorf("record that nobody had begun to write: %v, want the context's error and no doubt", err)
			}
			held.release()
			l.end(t)
			wantNumbers(t, sink, "a", 1)
		})
	})

	t.Run("in doubt when the write fails, and what was kept is unharmed", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		l := begin(t, disk, sink)
		l.numbered(t, "a", 0, 5)
		disk.FailNext(spooltest.Sync, false)
		e := numberedEvent("a", 5)
		e.ID = audit.DerivedID(audittest.Epoch(), "again")
		if err := l.Record(t.Context(), e); !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, spooltest.ErrFailed) {
			t.Errorf("record: %v, want ErrInDoubt and the disk's error", err)
		}
		if err := l.Record(t.Context(), e); err != nil {
			t.Errorf("record again: %v", err)
		}
		l.numbered(t, "a", 6, 9)
		l.end(t)
		wantNumbers(t, sink, "a", 9)
	})

	t.Run("refuse: a full spool says so, and takes events again when there is room", func(t *testing.T) {
		t.Parallel()
		sink := downSink()
		kept := openSpool(t, spooltest.NewDisk(), spool.WithMaxBytes(128<<10))
		l := beginOver(t, kept, sink, audit.WithFullPolicy(audit.Refuse))
		n := 0
		var err error
		for ; err == nil && n < 1000; n++ {
			err = l.Record(t.Context(), numberedEvent("a", n))
		}
		n--
		if !errors.Is(err, audit.ErrFull) || n < 100 {
			t.Fatalf("record %d: %v, want ErrFull after some hundreds", n, err)
		}
		sink.Recover()
		flush(t, l.Store)
		if err := l.hooks.Await(t.Context(), audit.HookReleased, 1); err != nil {
			t.Fatal(err)
		}
		l.numbered(t, "a", n, n+10)
		l.end(t)
		wantNumbers(t, sink, "a", n+10)
	})

	t.Run("wait: for room in a full spool", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := downSink()
			kept := openSpool(t, spooltest.NewDisk(), spool.WithMaxBytes(128<<10))
			l := beginOver(t, kept, sink)
			recorded := make(chan int, 1000)
			go func() {
				for n := range 1000 {
					record(t, l.Store, numberedEvent("a", n))
					recorded <- n
				}
				close(recorded)
			}()
			synctest.Wait()
			if n := len(recorded); n < 100 || n == 1000 {
				t.Errorf("%d events fit into 128 KiB", n)
			}
			sink.Recover()
			flush(t, l.Store)
			for range recorded {
			}
			l.end(t)
			wantNumbers(t, sink, "a", 1000)
		})
	})
}

func TestF10_CloseOverASpool(t *testing.T) {
	t.Parallel()

	t.Run("keeps what it owes, in memory or not, for the next process", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := spooltest.NewDisk()
			first := begin(t, disk, downSink(), audit.WithDurability(audit.Memory))
			first.numbered(t, "a", 0, 20)
			if err := first.RecordWith(t.Context(), numberedEvent("a", 20), audit.Spooled); err != nil {
				t.Fatal(err)
			}
			over, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			e := asFlushError(t, first.Close(over))
			if e.Pending != 21 || e.Spooled != 21 || len(e.Lost)+e.LostUnnamed != 0 || len(e.PendingEvents) != 21 || !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("close: %+v, want 21 pending in the spool and none lost", e)
			}
			again := asFlushError(t, first.Close(t.Context()))
			if again.Pending != 21 || !errors.Is(again, audit.ErrClosed) {
				t.Errorf("close again: %+v, want the same", again)
			}
			sink := audittest.NewMemorySink()
			begin(t, disk, sink).end(t)
			if got := len(sink.Events()); got != 21 {
				t.Errorf("the next process stored %d events, want 21", got)
			}
		})
	})

	t.Run("says what is lost when the disk does not take it either", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := spooltest.NewDisk()
			l := begin(t, disk, downSink(), audit.WithDurability(audit.Memory))
			l.numbered(t, "a", 0, 3)
			disk.FailNext(spooltest.Sync, false)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			e := asFlushError(t, l.Close(over))
			if len(e.Lost) != 3 || e.Pending != 0 {
				t.Errorf("close: %+v, want 3 lost", e)
			}
		})
	})

	t.Run("does not wait for a disk that hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
			l := beginOver(t, held, audittest.NewMemorySink())
			held.hold()
			recording := startRecord(t.Context(), l.Store, numberedEvent("a", 0), audit.Spooled)
			synctest.Wait()
			over, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = l.Close(over) // nothing was accepted, so there is nothing to report
			held.release()
			if err := recording.wait(); err != nil {
				t.Errorf("record: %v, although the disk took it in the end", err)
			}
			synctest.Wait()
		})
	})
}

func TestF2_QuarantineOverASpool(t *testing.T) {
	t.Parallel()

	t.Run("survives the process, and is retried after a fix", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.bad"))
		first := begin(t, disk, sink)
		bad := numberedEvent("a", 0)
		bad.Type = "test.spool.bad"
		record(t, first.Store, bad)
		first.numbered(t, "b", 0, 3)
		e := asFlushError(t, errorOf(first.Flush(t.Context())))
		if len(e.Rejected) != 1 || e.Stored != 3 {
			t.Errorf("flush: %+v, want 1 rejected and 3 stored", e)
		}
		first.kill(t, disk)

		second := begin(t, disk, sink)
		e = asFlushError(t, errorOf(second.FlushFor(t.Context(), "a")))
		if len(e.Rejected) != 1 || e.Rejected[0].Type != bad.Type || e.Rejected[0].Reason == "" {
			t.Errorf("flush in the next process: %+v, want the rejection", e)
		}
		if _, err := second.FlushFor(t.Context(), "b"); err != nil {
			t.Errorf("flush of another correlation id: %v", err)
		}
		if kept := quarantined(t, second.Store); len(kept) != 1 || kept[0].Event == nil || string(kept[0].Event.Data) != `{"n":0}` {
			t.Errorf("quarantine %+v, want the event with its data", kept)
		}

		if n, err := second.Retry(t.Context()); n != 1 || err != nil {
			t.Errorf("retry too early: %d, %v", n, err)
		}
		e = asFlushError(t, errorOf(second.Flush(t.Context())))
		sink.Reject(nil)
		if n, err := second.Retry(t.Context(), e.Rejected[0].ID); n != 1 || err != nil {
			t.Errorf("retry: %d, %v, want 1", n, err)
		}
		flush(t, second.Store)
		second.end(t)
		wantNumbers(t, sink, "a", 1)
		third := begin(t, disk, sink)
		flush(t, third.Store)
		third.end(t)
	})

	t.Run("an acknowledgement survives the process", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.event"))
		first := begin(t, disk, sink)
		first.numbered(t, "a", 0, 2)
		e := asFlushError(t, errorOf(first.Flush(t.Context())))
		acknowledge(t, first.Store, 1, e.Rejected[0].ID)
		first.kill(t, disk)

		second := begin(t, disk, sink)
		e = asFlushError(t, errorOf(second.Flush(t.Context())))
		if len(e.Rejected) != 1 {
			t.Errorf("flush: %+v, want the rejection that nobody acknowledged", e)
		}
		acknowledge(t, second.Store, 1, e.Rejected[0].ID)
		second.end(t)
	})

	t.Run("unnamed rejections are acknowledged on disk as well", func(t *testing.T) {
		t.Parallel()
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.event"))
		first := begin(t, disk, sink)
		first.numbered(t, "a", 0, 1100)
		e := asFlushError(t, errorOf(first.Flush(t.Context())))
		if len(e.Rejected) != 1000 || e.RejectedUnnamed != 100 {
			t.Fatalf("flush: %d rejected and %d unnamed, want 1000 and 100", len(e.Rejected), e.RejectedUnnamed)
		}
		if n, err := first.AcknowledgeUnnamed(); n != 100 || err != nil {
			t.Errorf("acknowledge unnamed: %d, %v", n, err)
		}
		first.kill(t, disk)
		second := begin(t, disk, sink)
		e = asFlushError(t, errorOf(second.Flush(t.Context())))
		if len(e.Rejected) != 1000 || e.RejectedUnnamed != 0 {
			t.Errorf("flush in the next process: %d rejected and %d unnamed, want 1000 and 0", len(e.Rejected), e.RejectedUnnamed)
		}
		ids := make([]uuid.UUID, 0, len(e.Rejected))
		for _, r := range e.Rejected {
			ids = append(ids, r.ID)
		}
		acknowledge(t, second.Store, 1000, ids...)
		second.end(t)
	})
}

func TestF9_ARefusedEventStaysOwedWhileTheQuarantineIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.event"))
		l := beginOver(t, openSpool(t, spooltest.NewDisk(), spool.WithQuarantine(1, 1<<20)), sink)
		l.numbered(t, "a", 0, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := asFlushError(t, errorOf(l.Flush(ctx)))
		if e.Pending == 0 || e.SpoolError == nil {
			t.Errorf("flush: %+v, want events pending, and why", e)
		}
		sink.Reject(nil)
		if _, err := l.Flush(t.Context()); err != nil {
			for _, r := range asFlushError(t, err).Rejected {
				acknowledge(t, l.Store, 1, r.ID)
			}
		}
		l.end(t)
	})
}
