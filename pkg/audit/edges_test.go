package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// Regression test: an event accepted while the damaged end of the backlog was read
// used to be declared lost with it.
func TestF8_AnEventAcceptedDuringALoadIsNotDeclaredLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := diskWithPending(t, 1)

		sink := audittest.NewMemorySink()
		kept := openSpool(t, disk)
		if err := disk.Corrupt(segmentFile(t, disk, `{"n":0}`), func(b []byte) []byte {
			b[strings.Index(string(b), `{"n":0}`)] ^= 1
			return b
		}); err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		var once sync.Once
		reads := 0
		slow := &heldReads{Spool: kept, after: func(k []audit.SpooledEvent, damaged int, err error) ([]audit.SpooledEvent, int, error) {
			if reads++; reads == 2 { // the first one is that of New
				once.Do(func() { <-gate })
			}
			return k, damaged, err
		}}
		second := beginOver(t, slow, sink)
		synctest.Wait()
		second.numbered(t, "b", 0, 1) // accepted: on disk, in the backlog
		close(gate)
		synctest.Wait()
		_, err := flushWithin(t, second.Store, time.Hour)
		if e := asFlushError(t, err); e.LostUnnamed != 1 || len(sink.EventsOf("b")) != 1 {
			t.Errorf("%d lost and %d of b stored, want 1 and 1", e.LostUnnamed, len(sink.EventsOf("b")))
		}
		closeWithin(t, second.Store)
	})
}

// Regression test: of a Read that found damage and failed in the same call, the
// store used to note the failure only.
func TestF2_DamageThatComesWithAnErrorIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := diskWithPending(t, 5)

		calls := 0
		reached, gate := make(chan struct{}), make(chan struct{})
		lossy := &heldReads{Spool: openSpool(t, disk)}
		lossy.after = func(kept []audit.SpooledEvent, damaged int, err error) ([]audit.SpooledEvent, int, error) {
			if calls++; calls == 1 {
				return kept, damaged, err // of New
			}
			if calls == 2 { // the first event is gone, and what follows cannot be read for now
				return nil, 1, errDown
			}
			if calls == 3 {
				kept = kept[1:]
				close(reached)
				<-gate
			}
			return kept, damaged, err
		}
		sink := audittest.NewMemorySink()
		sink.Hang()
		second := beginOver(t, lossy, sink)
		synctest.Wait()
		flushing := startFlush(t, second.Store)
		<-reached
		second.numbered(t, "b", 0, 1) // takes the place of the lost one in the count
		close(gate)
		sink.Recover()
		synctest.Wait()
		select {
		case <-flushing.done:
			if flushing.err == nil {
				t.Errorf("the flush is nil, although %d of its 5 events are stored", len(sink.EventsOf("a")))
			}
		default:
		}
		closeWithin(t, second.Store)
		_, _ = flushing.wait()
	})
}

// What a store does on a disk after its crash must have no effect: the tests with a
// crash rely on it.
func TestF8_ACrashedProcessDoesNotWrite(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	l := begin(t, disk, audittest.NewMemorySink())
	l.numbered(t, "a", 0, 5)
	flush(t, l.Store)
	disk.Crash()
	before := disk.String()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = l.Close(over)
	if after := disk.String(); after != before {
		t.Errorf("after the crash the disk had\n%sand the dead process made of it\n%s", before, after)
	}
}

// noSpaceAtSync is a file system that finds out at fsync that it is full, after it has the data.
type noSpaceAtSync struct {
	*spooltest.Disk

	fail bool
}

func (n *noSpaceAtSync) Create(path string, size int64) (spool.File, error) {
	f, err := n.Disk.Create(path, size)
	return &noSpaceFile{f, n}, err
}

type noSpaceFile struct {
	spool.File

	on *noSpaceAtSync
}

func (f *noSpaceFile) Sync() error {
	err := f.File.Sync()
	if f.on.fail {
		return syscall.ENOSPC
	}
	return err
}

// Regression test: Record used to return ErrFull, which says that the event was not
// accepted, for an event that the next process then sent.
func TestF6_AnEventThatMayBeKeptIsInDoubt(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	files := &noSpaceAtSync{Disk: disk}
	kept, err := spool.Open(spoolDir, spool.WithFiles(files), spool.WithSegmentBytes(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	first := beginOver(t, kept, downSink(), audit.WithFullPolicy(audit.Refuse))
	first.numbered(t, "a", 0, 1)
	files.fail = true
	recordErr := first.Record(t.Context(), numberedEvent("a", 1))
	first.kill(t, disk)
	sink := audittest.NewMemorySink()
	begin(t, disk, sink).end(t)
	if came := len(sink.Events()) == 2; came && !errors.Is(recordErr, audit.ErrInDoubt) {
		t.Errorf("record: %v, and the next process sends the event", recordErr)
	}
}

// Regression test: events that were on disk only used to have no age.
func TestF12_WhatIsOwedOnDiskHasAnAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := diskWithPending(t, 5)
		registry := prometheus.NewRegistry()
		clock := clocktesting.NewFakeClock(audittest.Epoch().Add(time.Hour))
		second := beginOver(t, &unreadableSpool{Spool: openSpool(t, disk), err: errDown}, audittest.NewMemorySink(),
			audit.WithRegisterer(registry), audit.WithClock(clock))
		synctest.Wait()
		clock.Step(time.Hour)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			if g := f.GetMetric()[0].GetGauge(); g != nil {
				values[f.GetName()] = g.GetValue()
			}
		}
		if values["audit_pending_events"] != 5 || values["audit_oldest_pending_age_seconds"] < 3600 {
			t.Errorf("%v events are pending for hours, and the oldest is %v s old", values["audit_pending_events"], values["audit_oldest_pending_age_seconds"])
		}
		closeWithin(t, second.Store)
	})
}

// slowClose is a spool that takes a while to be given back.
type slowClose struct {
	audit.Spool

	closed chan struct{}
}

func (s *slowClose) Close() error {
	<-time.After(3 * time.Second)
	defer close(s.closed)
	return s.Spool.Close()
}

// Regression test: a Close with time left used to return before the spool was closed.
func TestF10_CloseWaitsForTheSpoolAsLongAsItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowClose{openSpool(t, spooltest.NewDisk()), make(chan struct{})}
		l := beginOver(t, slow, audittest.NewMemorySink())
		l.numbered(t, "a", 0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		select {
		case <-slow.closed:
		default:
			t.Error("close is nil with 59 s left, and the spool is still taken")
		}
		<-slow.closed
	})
}

// Regression test: a Record that took its event back used to make room without
// waking those who waited for it.
func TestF6_ARecordThatGivesUpMakesRoomForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
		between := make(chan struct{})
		reached := make(chan struct{})
		var once sync.Once
		observer := func(m audit.HookPoint, _ int) {
			if m == audit.HookSpooled {
				once.Do(func() { close(reached); <-between })
			}
		}
		sink := audittest.NewMemorySink()
		sink.Hang()
		l := beginOver(t, held, sink, audit.WithHook(observer))
		large := func(n int) *audit.Event {
			e := numberedEvent("a", n)
			e.Data = fmt.Appendf(nil, `{"n":%d,"x":"%01000000d"}`, n, 0)
			return e
		}
		held.hold()
		first := startRecord(t.Context(), l.Store, numberedEvent("a", 0), audit.Spooled)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		queued := make([]*runningRecord, 0, 4)
		for n := range 4 {
			queued = append(queued, startRecord(ctx, l.Store, large(n), audit.Spooled))
		}
		synctest.Wait()
		patience, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		waiting := startRecord(patience, l.Store, large(9), audit.Spooled) // no room behind four of 1 MB
		synctest.Wait()
		held.release()
		<-reached // the first group is done, the second not begun
		synctest.Wait()
		cancel()
		for _, q := range queued {
			_ = q.wait()
		}
		close(between)
		_ = first.wait()
		if err := waiting.wait(); err != nil {
			t.Errorf("record: %v, although nobody else is on the way to the spool", err)
		}
		closeWithin(t, l.Store)
	})
}

// Damage is reported as lost, in each process until somebody acknowledges it, and not after that.
func TestF2_DamageIsLostUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	disk := diskWithPending(t, 5)
	if err := disk.Corrupt(segmentFile(t, disk, `{"n":2}`), func(b []byte) []byte {
		b[strings.Index(string(b), `{"n":2}`)] ^= 1
		return b
	}); err != nil {
		t.Fatal(err)
	}
	for process, lost := range []int{1, 1, 0} { // a sink that is down keeps the segment
		var logs logbook
		registry := prometheus.NewRegistry()
		l := begin(t, disk, downSink(), audit.WithLogger(logs.logger()), audit.WithRegisterer(registry))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		e := asFlushError(t, errorOf(l.Flush(over)))
		if len(e.Rejected)+e.RejectedUnnamed != 0 || len(e.Lost) != lost || e.LostUnnamed != 0 || e.Persisted() != (lost == 0) {
			t.Errorf("process %d: flush %+v, want %d lost", process, e, lost)
		}
		if got := gauges(registry)["audit_unacknowledged_lost_events"]; int(got) != lost {
			t.Errorf("process %d: %v unacknowledged lost events in the metrics, want %d", process, got, lost)
		}
		if logged := strings.Count(strings.Join(logs.lines(), "\n"), "error: "); logged != lost {
			t.Errorf("process %d: logged %v, want %d errors", process, logs.lines(), lost)
		}
		if process == 1 {
			for _, r := range e.Lost {
				acknowledge(t, l.Store, 1, r.ID)
			}
		}
		l.kill(t, disk)
	}
}

// Regression test: a rejection that was repeated after a crash used to count twice.
func TestF2_ARejectionIsNamedOnce(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.spool.event"))
	first := begin(t, disk, sink)
	first.numbered(t, "a", 0, 1)
	_, _ = first.Flush(t.Context())
	disk.Crash() // a store that is closed afterwards would still tidy up on the disk
	t.Cleanup(func() { closeWithin(t, first.Store) })
	second := begin(t, disk, sink)
	_, _ = second.Flush(t.Context())
	e := asFlushError(t, errorOf(second.Flush(t.Context())))
	if len(e.Rejected) != 1 || len(quarantined(t, second.Store)) != 1 {
		t.Errorf("%d rejections of %d events", len(e.Rejected), len(quarantined(t, second.Store)))
	}
	second.kill(t, disk)
}

// Regression test: the reasons of a rejection used to be kept without bound.
func TestF6_ReasonsOfRejectionsAreBounded(t *testing.T) {
	t.Parallel()
	store, sink, _ := audittest.NewStore(t)
	sink.Reject(func(audit.Event) error { return errors.New(strings.Repeat("x", 1<<20)) })
	recordAll(t, store, "abc")
	e := asFlushError(t, errorOf(store.Flush(t.Context())))
	bytes := 0
	for _, r := range e.Rejected {
		bytes += len(r.Reason)
		acknowledge(t, store, 1, r.ID)
	}
	if bytes > 64<<10 {
		t.Errorf("%d bytes of reasons for 3 rejections", bytes)
	}
}

// Regression test: after a crash, a rejected event used to be sent, rejected and
// reported again, although somebody had acknowledged it.
func TestF2_AnAcknowledgementSurvivesACrash(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.spool.event"))
	first := begin(t, disk, sink)
	first.numbered(t, "a", 0, 1)
	e := asFlushError(t, errorOf(first.Flush(t.Context())))
	acknowledge(t, first.Store, 1, e.Rejected[0].ID)
	disk.Crash()
	t.Cleanup(func() { closeWithin(t, first.Store) })
	second := begin(t, disk, sink)
	if _, err := second.Flush(t.Context()); err != nil {
		t.Errorf("flush in the next process: %v", err)
	}
	second.kill(t, disk)
}

// Regression test: time stamps used to stay where a clock that was wrong once had
// put them, and DataStorage counts what is more than five minutes ahead as clock skew.
func TestF11_AClockThatWasAheadOnceDoesNotSpoilAllLaterStamps(t *testing.T) {
	t.Parallel()
	store, sink, clock := audittest.NewStore(t)
	clock.SetTime(audittest.Epoch().Add(24 * time.Hour))
	recordAll(t, store, "a")
	clock.SetTime(audittest.Epoch())
	recordAll(t, store, "b")
	flush(t, store)
	if ahead := sink.EventsOf("b")[0].Timestamp.Sub(clock.Now()); ahead > 5*time.Minute {
		t.Errorf("event is stamped %v ahead of the clock", ahead)
	}
}

// Forming a batch must not look at all events that their correlation id holds back each time.
func BenchmarkOneCorrelationID(b *testing.B) {
	for _, events := range []int{3_000, 10_000, 30_000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			for b.Loop() {
				sink := audittest.NewMemorySink()
				sink.Hang()
				store, err := audit.New(sink, audit.WithBatch(1, audit.DefaultBatchBytes))
				if err != nil {
					b.Fatal(err)
				}
				for range events {
					if err := store.Record(b.Context(), audittest.NewEvent("test.review.event", "a")); err != nil {
						b.Fatal(err)
					}
				}
				sink.Recover()
				if err := store.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An event that becomes terminal must not be compared to every barrier.
func BenchmarkManyFlushesFor(b *testing.B) {
	for _, flushes := range []int{0, 1_000, 3_000, 9_000} {
		b.Run(fmt.Sprint(flushes), func(b *testing.B) {
			for b.Loop() {
				sink := audittest.NewMemorySink()
				sink.Hang()
				hooks := audittest.NewHooks()
				store, err := audit.New(sink, audit.WithHook(hooks.Reached))
				if err != nil {
					b.Fatal(err)
				}
				for n := range 9_000 {
					if err := store.Record(b.Context(), audittest.NewEvent("test.review.event", fmt.Sprint("correlation-id-", n))); err != nil {
						b.Fatal(err)
					}
				}
				var running sync.WaitGroup
				for n := range flushes {
					running.Go(func() { _, _ = store.FlushFor(b.Context(), fmt.Sprint("correlation-id-", n)) })
				}
				if err := hooks.Await(b.Context(), audit.HookWaitingForFlush, flushes); err != nil {
					b.Fatal(err)
				}
				sink.Recover()
				running.Wait()
				if err := store.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
