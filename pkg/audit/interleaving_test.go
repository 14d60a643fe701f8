package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// Regression test: Retry used to forget the ids after it had accepted the events, so
// that a rejection in between was acknowledged with them.
func TestF2_RetryMustNotForgetANewRejection(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(t *testing.T) []audit.Option{
		"in memory": func(*testing.T) []audit.Option { return nil },
		"on disk": func(t *testing.T) []audit.Option {
			t.Helper()
			return []audit.Option{audit.WithSpool(openSpool(t, spooltest.NewDisk()))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink := audittest.NewMemorySink()
				sink.Reject(rejectType("test.spool.event"))
				store, err := audit.New(sink, append(options(t), audit.WithBatch(1, audit.DefaultBatchBytes),
					audit.WithBounds(1, audit.DefaultMaxBytes), audit.WithClock(clocktesting.NewFakeClock(audittest.Epoch())))...)
				if err != nil {
					t.Fatal(err)
				}
				for n := range 3 {
					record(t, store, numberedEvent("a", n))
				}
				if e := asFlushError(t, errorOf(store.Flush(t.Context()))); len(e.Rejected) != 3 {
					t.Fatalf("%d rejected, want 3", len(e.Rejected))
				}
				if n, err := store.Retry(t.Context()); n != 3 || err != nil {
					t.Fatalf("retry: %d, %v", n, err)
				}
				named := map[uuid.UUID]bool{}
				if _, err := store.Flush(t.Context()); err != nil {
					for _, r := range asFlushError(t, err).Rejected {
						named[r.ID] = true
					}
				}
				if len(named) != 3 || len(quarantined(t, store)) != 3 {
					t.Errorf("%d reported and %d in quarantine after a retry in vain, want 3: %d events are gone",
						len(named), len(quarantined(t, store)), 3-len(named))
				}
				_ = store.Close(t.Context())
			})
		})
	}
}

// Regression test: a flush used to wake one of several deliveries that backed off.
func TestF4_AFlushEndsEveryPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]chan error{"a": make(chan error), "b": make(chan error), "c": make(chan error)}
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			return audit.Ack{}, <-answers[batch[0].CorrelationID]
		}}
		store, err := audit.New(sink, audit.WithClock(clocktesting.NewFakeClock(audittest.Epoch())),
			audit.WithBatch(1, audit.DefaultBatchBytes), audit.WithInFlight(3))
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, store, "abc")
		synctest.Wait()
		answers["a"] <- errDown // a probes, and pauses
		synctest.Wait()
		answers["b"] <- nil // the sink is back
		synctest.Wait()
		answers["c"] <- errDown // c probes, and pauses as well
		synctest.Wait()
		close(answers["a"])
		close(answers["c"])
		f := startFlush(t, store)
		synctest.Wait()
		select {
		case <-f.done:
		default:
			t.Error("the sink works, and the flush hangs: one of two pausing deliveries was not woken")
			again, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = store.Flush(again) // another token
		}
		_, _ = f.wait()
		_ = store.Close(t.Context())
	})
}

// heldReads lets a test act before or after a read of the spool.
type heldReads struct {
	audit.Spool

	before func()
	after  func(kept []audit.SpooledEvent, damaged int, err error) ([]audit.SpooledEvent, int, error)
}

func (h *heldReads) Read(from uint64, events, bytes int) ([]audit.SpooledEvent, int, error) {
	if h.before != nil {
		h.before()
	}
	kept, damaged, err := h.Spool.Read(from, events, bytes)
	if h.after != nil {
		return h.after(kept, damaged, err)
	}
	return kept, damaged, err
}

// Regression test: events lost on disk, which have no correlation id, used to stay
// on the barrier of a FlushFor forever.
func TestF3_FlushForEndsAlthoughEventsWereLostOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.Hang()
		lossy := &heldReads{Spool: openSpool(t, disk)}
		l := beginOver(t, lossy, sink, audit.WithBounds(4, audit.DefaultMaxBytes))
		l.numbered(t, "a", 0, 30)
		synctest.Wait()
		var once sync.Once
		lossy.after = func(kept []audit.SpooledEvent, damaged int, err error) ([]audit.SpooledEvent, int, error) {
			once.Do(func() { kept, damaged = kept[1:], damaged+1 })
			return kept, damaged, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		flushed := make(chan error, 1)
		go func() { flushed <- errorOf(l.FlushFor(ctx, "a")) }()
		synctest.Wait()
		sink.Recover()
		if e := asFlushError(t, <-flushed); e.Pending != 0 || e.LostUnnamed != 1 || e.Cause != nil {
			t.Errorf("flush: %d pending, %d lost, cause %v, want 1 lost and an answer at once", e.Pending, e.LostUnnamed, e.Cause)
		}
		closeWithin(t, l.Store)
	})
}

// closeWithin ends a store that may hang.
func closeWithin(t *testing.T, store *audit.Store) {
	t.Helper()
	over, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
	defer cancel()
	_ = store.Close(over)
}

// Regression test: losing events that were never loaded used to corrupt the number
// of those that wait.
func TestF1_FlushEndsAlthoughEventsWereLostOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := diskWithPending(t, 5)

		sink := audittest.NewMemorySink()
		kept := openSpool(t, disk)
		// The medium loses one of five records after the directory was opened.
		name := segmentFile(t, disk, `{"n":2}`)
		if err := disk.Corrupt(name, func(b []byte) []byte { b[bytes.Index(b, []byte(`{"n":2}`))] ^= 1; return b }); err != nil {
			t.Fatal(err)
		}
		second := beginOver(t, kept, sink)
		_, err := flushWithin(t, second.Store, time.Hour)
		if e := asFlushError(t, err); e.Pending != 0 || e.LostUnnamed != 1 {
			t.Errorf("flush: %v, want 1 lost and none pending", err)
		}
		if got := len(sink.Events()); got != 4 {
			t.Errorf("%d events are stored, want the 4 that can be read", got)
		}
		_, _ = second.AcknowledgeUnnamed()
		second.numbered(t, "b", 0, 1)
		if _, err := flushWithin(t, second.Store, time.Hour); err != nil {
			t.Errorf("flush of the next event: %v", err)
		}
		closeWithin(t, second.Store)
	})
}

// segmentFile finds the segment that has a text in it.
func segmentFile(t *testing.T, disk *spooltest.Disk, text string) string {
	t.Helper()
	for line := range strings.Lines(disk.String()) {
		name, _, _ := strings.Cut(line, " ")
		if contents, err := disk.Contents(name); err == nil && bytes.Contains(contents, []byte(text)) {
			return name
		}
	}
	t.Fatalf("no file has %s", text)
	return ""
}

// Regression test: a write that ended while Close spilled used to move the low
// watermark past the backlog, which was then released unsent.
func TestF8_AWriteThatEndsDuringCloseReleasesNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk()
		answer := make(chan struct{})
		deaf := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			<-answer
			return audit.Ack{Created: len(batch)}, nil
		}}
		kept := &countedAppends{Spool: openSpool(t, disk)}
		l := beginOver(t, kept, deaf, audit.WithDurability(audit.Memory), audit.WithFullPolicy(audit.Spill),
			audit.WithBounds(8, audit.DefaultMaxBytes), audit.WithBatch(8, audit.DefaultBatchBytes), audit.WithInFlight(1))
		large := func(n int) *audit.Event {
			e := numberedEvent("a", n)
			e.Data = fmt.Appendf(nil, `{"n":%d,"x":"%0900000d"}`, n, 0)
			return e
		}
		for n := range 8 { // 7 MiB in memory: two appends when they are spilled
			record(t, l.Store, large(n))
		}
		l.numbered(t, "b", 0, 3) // on disk only
		before := kept.count()
		kept.on = func(n int) {
			if n == before+2 { // the second part: the first has its positions
				close(answer)
				synctest.Wait()
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		err := l.Close(over)
		if err != nil {
			t.Logf("close: %+v", asFlushError(t, err).Spooled)
		}
		sink := audittest.NewMemorySink()
		next := begin(t, disk, sink)
		next.end(t)
		if got := len(sink.EventsOf("b")); got != 3 {
			t.Errorf("%d of the 3 events on disk came back: the others were accepted, are not stored, and nobody reports them", got)
		}
	})
}

// countedAppends calls a function before each append.
type countedAppends struct {
	audit.Spool

	mu   sync.Mutex
	n    int
	on   func(n int)
	fail func(n int) error
}

func (c *countedAppends) Append(events []audit.Event, settled uint64) (uint64, error) {
	c.mu.Lock()
	c.n++
	n := c.n
	c.mu.Unlock()
	if c.on != nil {
		c.on(n)
	}
	if c.fail != nil {
		if err := c.fail(n); err != nil {
			return 0, err
		}
	}
	return c.Spool.Append(events, settled)
}

func (c *countedAppends) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Regression test: attempts that failed for lack of space used to wake each other
// forever.
func TestF6_WaitingForASpoolDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &countedAppends{Spool: openSpool(t, spooltest.NewDisk()), fail: func(int) error {
			<-time.After(time.Millisecond) // to find out takes the medium a moment
			return audit.ErrFull
		}}
		// The store's clock never ticks: nobody tries again because a pause is over.
		l := beginOver(t, kept, audittest.NewMemorySink())
		ctx, cancel := context.WithCancel(t.Context())
		first := startRecord(ctx, l.Store, numberedEvent("a", 0), audit.Spooled)
		<-time.After(10 * time.Millisecond)
		second := startRecord(ctx, l.Store, numberedEvent("b", 0), audit.Spooled)
		<-time.After(10 * time.Second)
		if n := kept.count(); n > 10 {
			t.Errorf("%d attempts of two Records, although no pause ended and no room was made", n)
		}
		cancel()
		_, _ = first.wait(), second.wait()
		closeWithin(t, l.Store)
	})
}

// Regression test: an event that was never accepted used to take a sequence number.
func TestProducerSequenceHasNoGapForARefusedEvent(t *testing.T) {
	t.Parallel()
	sink := audittest.NewMemorySink()
	kept := &countedAppends{Spool: openSpool(t, spooltest.NewDisk()), fail: func(n int) error {
		if n == 2 {
			return audit.ErrFull
		}
		return nil
	}}
	l := beginOver(t, kept, sink, audit.WithFullPolicy(audit.Refuse))
	l.numbered(t, "a", 0, 1)
	if err := l.Record(t.Context(), numberedEvent("a", 1)); !errors.Is(err, audit.ErrFull) {
		t.Fatalf("record: %v, want ErrFull", err)
	}
	l.numbered(t, "a", 1, 2)
	l.end(t)
	events := sink.EventsOf("a")
	if len(events) != 2 || events[1].Producer.Sequence != 2 {
		t.Errorf("sequence %d behind 1: a gap although nothing is missing", events[1].Producer.Sequence)
	}
}

// Regression test: when the size of a full batch grew past what waited, the waiting
// events used to have no timer.
func TestF13_AnEventThatFilledABatchIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan error)
		sink := &sinkFunc{write: func(ctx context.Context, _ []audit.Event) (audit.Ack, error) {
			select {
			case err := <-answers:
				return audit.Ack{}, err
			case <-ctx.Done():
				return audit.Ack{}, ctx.Err()
			}
		}}
		store, err := audit.New(sink, audit.WithInFlight(1))
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, store, "ab")
		<-time.After(audit.DefaultInterval + audit.DefaultWriteTimeout + time.Second) // too slow for two: a batch is full with one
		synctest.Wait()
		recordAll(t, store, "c")
		for len(sink.sizes()) < 2 {
			<-time.After(time.Second)
		}
		answers <- nil // a is stored, c waits: batches of two from now on
		answers <- nil // b
		select {
		case answers <- nil: // c
		case <-time.After(time.Hour):
			t.Errorf("event c was not sent within an hour, writes %v", sink.sizes())
			go func() { answers <- nil }()
		}
		if err := store.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// Regression test: while the oldest waiting event was held back by its correlation
// id, the interval of others used to stand still.
func TestF13_AHeldBackEventDoesNotStopTheIntervalOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, sink, clock := audittest.NewStore(t)
		sink.HangNext()
		recordAll(t, store, "a")
		clock.Step(audit.DefaultInterval)
		synctest.Wait()
		recordAll(t, store, "a") // behind the one in flight
		clock.Step(audit.DefaultInterval)
		synctest.Wait()
		recordAll(t, store, "b")
		for range 20 {
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
		}
		if got := sink.EventsOf("b"); len(got) != 1 {
			t.Errorf("event b is not stored after 20 intervals, although 3 more batches may be in flight")
		}
		sink.Recover()
	})
}

// Regression test: one damaged file of the quarantine used to keep the store from
// starting.
func TestF8_ADamagedQuarantineDoesNotStopTheStore(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.spool.event"))
	first := begin(t, disk, sink)
	first.numbered(t, "a", 0, 1)
	_, _ = first.Flush(t.Context())
	_ = first.Close(t.Context())
	name := spoolDir + "/quarantine/00000000000000000001.json"
	if err := disk.Corrupt(name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
	kept := openSpool(t, disk)
	store, err := audit.New(sink, audit.WithSpool(kept))
	if err != nil {
		t.Fatalf("make store: %v", err)
	}
	_ = store.Close(t.Context())
}

// Regression test: a full quarantine used to keep good events from being stored.
func TestF9_AFullQuarantineHoldsUpTheBadEventAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.bad"))
		registry := prometheus.NewRegistry()
		l := beginOver(t, openSpool(t, spooltest.NewDisk(), spool.WithQuarantine(1, 1<<20)), sink, audit.WithRegisterer(registry))
		for n := range 2 {
			bad := numberedEvent("bad", n)
			bad.Type = "test.spool.bad"
			record(t, l.Store, bad)
		}
		_, _ = flushWithin(t, l.Store, time.Second)
		l.numbered(t, "good", 0, 5)
		_, _ = flushWithin(t, l.Store, time.Second)
		if got := len(sink.EventsOf("good")); got != 5 {
			t.Errorf("%d of 5 good events are stored beside a bad one that cannot be quarantined", got)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_ = l.Close(over)
	})
}

func flushWithin(t *testing.T, store *audit.Store, patience time.Duration) (audit.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return store.Flush(ctx)
}
