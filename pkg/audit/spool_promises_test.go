package audit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

func TestF1_FlushWaitsForWhatIsOnDiskAlone(t *testing.T) {
	t.Parallel()
	for name, flush := range map[string]func(*audit.Store, context.Context) (audit.Receipt, error){
		"all": (*audit.Store).Flush,
		"one correlation id": func(s *audit.Store, ctx context.Context) (audit.Receipt, error) {
			return s.FlushFor(ctx, "a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const inMemory, events = 4, 30
				memory := audittest.NewMemorySink()
				gate := &gatedSink{Sink: memory, entered: make(chan struct{}), result: make(chan error)}
				l := begin(t, spooltest.NewDisk(), gate, audit.WithBounds(inMemory, audit.DefaultMaxBytes))
				l.numbered(t, "a", 0, events)

				var receipt audit.Receipt
				var err error
				answered := make(chan struct{})
				go func() {
					defer close(answered)
					receipt, err = flush(l.Store, t.Context())
				}()
				early := 0
				for len(memory.Events()) < events {
					<-gate.entered
					synctest.Wait()
					select {
					case <-answered:
						early++
					default:
					}
					gate.result <- nil
					synctest.Wait()
				}
				<-answered
				if early > 0 || err != nil || receipt.Events != events {
					t.Errorf("flush: %+v, %v, %d batches early, want %d events when all are stored", receipt, err, early, events)
				}
				l.end(t)
			})
		})
	}

	t.Run("while it cannot be read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			unreadable, sink := leftByADeadProcess(t, 5)
			l := beginOver(t, unreadable, sink)
			_, err := flushWithin(t, l.Store, time.Second)
			if e := asFlushError(t, err); e.Pending != 5 {
				t.Errorf("flush: %+v, want 5 pending", e)
			}
			unreadable.mend()
			l.end(t)
		})
	})
}

// leftByADeadProcess gives a spool with events of an earlier process that cannot be read yet.
func leftByADeadProcess(t *testing.T, events int) (*unreadableSpool, *audittest.MemorySink) {
	t.Helper()
	disk := spooltest.NewDisk()
	first := begin(t, disk, downSink())
	first.numbered(t, "a", 0, events)
	first.kill(t, disk)
	return &unreadableSpool{Spool: openSpool(t, disk), err: errDown}, audittest.NewMemorySink()
}

func TestF4_AFlushReadsASpoolAgainThatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		unreadable, sink := leftByADeadProcess(t, 5)
		l := beginOver(t, unreadable, sink) // on a clock that never ticks
		synctest.Wait()
		unreadable.mend()
		if _, err := flushWithin(t, l.Store, time.Hour); err != nil {
			t.Errorf("flush: %v", err)
		}
		storedEvents(t, sink, 5)
		l.end(t)
	})
}

func TestF4_AFlushEndsThePausesOfAllBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			if mended.Load() {
				return audit.Ack{Created: len(batch)}, nil
			}
			return audit.Ack{}, &audit.SinkError{Status: http.StatusInternalServerError}
		}}
		store, err := audit.New(sink, audit.WithBatch(1, audit.DefaultBatchBytes))
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, store, "abc")
		<-time.After(time.Hour) // until each of them is held up by itself alone
		synctest.Wait()
		mended.Store(true)
		started := time.Now()
		if _, err := flushWithin(t, store, time.Hour); err != nil || time.Since(started) != 0 {
			t.Errorf("flush: %v after %v, although the sink works", err, time.Since(started))
		}
		closeWithin(t, store)
	})
}

func TestF6_AFailedAppendLeavesTheEventInDoubt(t *testing.T) {
	t.Parallel()
	kept := &countedAppends{Spool: openSpool(t, spooltest.NewDisk()), fail: func(int) error { return errDown }}
	l := beginOver(t, kept, audittest.NewMemorySink())
	if err := l.Record(t.Context(), numberedEvent("a", 0)); !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, errDown) {
		t.Errorf("record: %v, want ErrInDoubt and the spool's error", err)
	}
	l.end(t)
}

func TestF6_WhatIsReadBackHasToFitInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		unreadable, sink := leftByADeadProcess(t, 30)
		unreadable.mend()
		sink.Fail(errDown)
		l := beginOver(t, unreadable, sink, audit.WithBounds(4, audit.DefaultMaxBytes))
		_, err := flushWithin(t, l.Store, time.Second)
		if e := asFlushError(t, err); e.Pending != 30 || len(e.PendingEvents) != 4 {
			t.Errorf("flush: %d pending, %d of them in memory, want 30 and 4", e.Pending, len(e.PendingEvents))
		}
		sink.Recover()
		l.end(t)
		wantNumbers(t, sink, "a", 30)
	})
}

func TestF7_AReplayAfterARestartIsTheSameEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.FailAfterStoring(errDown)
		first := begin(t, disk, sink)
		first.numbered(t, "a", 0, 5)
		if _, err := flushWithin(t, first.Store, time.Second); err == nil {
			t.Error("flush is nil although no write was acknowledged")
		}
		first.kill(t, disk)
		sink.Recover()
		writes := sink.Writes()
		begin(t, disk, sink).end(t)
		if sink.Writes() == writes {
			t.Error("nothing was replayed")
		}
		storedEvents(t, sink, 5)
	})
}

func TestF8_OnlyWhatIsStoredIsReleased(t *testing.T) {
	t.Parallel()

	t.Run("not what is in flight while a later event is stored", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := spooltest.NewDisk()
			sink := &sinkFunc{write: func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				if batch[0].CorrelationID == "slow" {
					<-ctx.Done()
					return audit.Ack{}, ctx.Err()
				}
				return audit.Ack{Created: len(batch)}, nil
			}}
			first := begin(t, disk, sink, audit.WithBatch(1, audit.DefaultBatchBytes), audit.WithInFlight(2))
			first.numbered(t, "slow", 0, 1)
			for n := range 5 { // each append says what is settled
				first.numbered(t, "fast", n, n+1)
				synctest.Wait()
			}
			first.kill(t, disk)
			next := audittest.NewMemorySink()
			begin(t, disk, next).end(t)
			wantNumbers(t, next, "slow", 1)
		})
	})

	t.Run("not what was read back and waits for the sink", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := spooltest.NewDisk()
			for n := range 5 {
				l := begin(t, disk, downSink())
				synctest.Wait()
				l.numbered(t, "a", 10*n, 10*n+10)
				l.kill(t, disk)
			}
			sink := audittest.NewMemorySink()
			begin(t, disk, sink).end(t)
			wantNumbers(t, sink, "a", 50)
		})
	})
}

func TestF11_MemoryDoesNotOvertakeTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		unreadable, sink := leftByADeadProcess(t, 5)
		l := beginOver(t, unreadable, sink)
		synctest.Wait()
		for n, durability := range []audit.Durability{audit.Memory, audit.Spooled} { // for both there is room in memory
			if err := l.RecordWith(t.Context(), numberedEvent("a", 5+n), durability); err != nil {
				t.Errorf("record: %v", err)
			}
		}
		_, _ = flushWithin(t, l.Store, time.Second)
		unreadable.mend()
		l.end(t)
		for i, e := range storedEvents(t, sink, 7) {
			if want := fmt.Sprintf(`{"n":%d}`, i); string(e.Data) != want {
				t.Errorf("event %d that was stored is %s, want %s", i, e.Data, want)
			}
		}
	})
}

func TestF11_StampsGoOnWhereTheLastLifeEnded(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	first := begin(t, disk, downSink())
	first.numbered(t, "a", 0, 3)
	first.kill(t, disk)
	sink := audittest.NewMemorySink()
	second := begin(t, disk, sink, audit.WithClock(clocktesting.NewFakeClock(audittest.Epoch().Add(-time.Minute))))
	second.numbered(t, "a", 3, 6)
	second.end(t)
	wantNumbers(t, sink, "a", 6) // in the order of their stamps
}
