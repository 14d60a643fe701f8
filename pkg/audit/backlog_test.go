package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

func TestF6_WhatDoesNotFitInMemoryIsSpilled(t *testing.T) {
	t.Parallel()

	t.Run("spill: record returns, memory stays bounded, order is kept", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := audittest.NewMemorySink()
			sink.Hang()
			l := begin(t, spooltest.NewDisk(), sink, audit.WithDurability(audit.Memory),
				audit.WithFullPolicy(audit.Spill), audit.WithBounds(10, audit.DefaultMaxBytes))
			l.numbered(t, "a", 0, 500)
			if l.hooks.Count(audit.HookSpooled) == 0 {
				t.Error("nothing was spilled")
			}
			sink.Recover()
			receipt := flush(t, l.Store)
			if receipt.Barrier != 500 || receipt.Events != 500 {
				t.Errorf("receipt %+v, want 500 events", receipt)
			}
			for i, n := range sink.Batches() {
				if n > 10 {
					t.Errorf("batch %d has %d events although memory holds 10", i, n)
				}
			}
			l.end(t)
			wantNumbers(t, sink, "a", 500)
		})
	})

	t.Run("spooled events need no room in memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := audittest.NewMemorySink()
			sink.Hang()
			l := begin(t, spooltest.NewDisk(), sink, audit.WithFullPolicy(audit.Refuse), audit.WithBounds(10, audit.DefaultMaxBytes))
			l.numbered(t, "a", 0, 100)
			// An event in memory must not overtake those on disk.
			if err := l.RecordWith(t.Context(), numberedEvent("a", 100), audit.Memory); err != nil {
				t.Errorf("record: %v", err)
			}
			sink.Recover()
			l.end(t)
			wantNumbers(t, sink, "a", 101)
		})
	})

	t.Run("a flush for one correlation id tells its own from the others' on disk", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := audittest.NewMemorySink()
			sink.Hang()
			l := begin(t, spooltest.NewDisk(), sink, audit.WithBounds(4, audit.DefaultMaxBytes))
			for n := range 30 {
				record(t, l.Store, numberedEvent(fmt.Sprint("id-", n%3), n/3))
			}
			flushed := make(chan audit.Receipt, 1)
			go func() {
				receipt, err := l.FlushFor(t.Context(), "id-1")
				if err != nil {
					t.Errorf("flush: %v", err)
				}
				flushed <- receipt
			}()
			synctest.Wait()
			sink.Recover()
			if receipt := <-flushed; receipt.Events != 10 {
				t.Errorf("flush covered %d events, want its own 10", receipt.Events)
			}
			wantNumbers(t, sink, "id-1", 10)
			l.end(t)
		})
	})

	t.Run("stored durability waits behind what is on disk", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := audittest.NewMemorySink()
			sink.Hang()
			l := begin(t, spooltest.NewDisk(), sink, audit.WithBounds(4, audit.DefaultMaxBytes))
			l.numbered(t, "a", 0, 30)
			strict := startRecord(t.Context(), l.Store, numberedEvent("a", 30), audit.Stored)
			synctest.Wait()
			strict.stillRuns(t)
			sink.Recover()
			if err := strict.wait(); err != nil {
				t.Errorf("record: %v", err)
			}
			wantNumbers(t, sink, "a", 31)
			l.end(t)
		})
	})

	t.Run("a backlog that cannot be read stays pending", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := diskWithPending(t, 5)

			sink := audittest.NewMemorySink()
			unreadable := &unreadableSpool{Spool: openSpool(t, disk), err: errDown}
			second := beginOver(t, unreadable, sink)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if e := asFlushError(t, errorOf(second.Flush(ctx))); e.Pending != 5 || !errors.Is(e.SpoolError, errDown) {
				t.Errorf("flush: %+v, want 5 pending, and the spool's error", e)
			}
			unreadable.mend()
			flush(t, second.Store)
			second.end(t)
			wantNumbers(t, sink, "a", 5)
		})
	})
}

func TestF3_AFlushThatRunsOutOfTimeCountsWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := downSink()
		l := begin(t, spooltest.NewDisk(), sink, audit.WithBounds(4, audit.DefaultMaxBytes))
		l.numbered(t, "a", 0, 30)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := asFlushError(t, errorOf(l.Flush(ctx)))
		if e.Pending != 30 || e.Spooled != 30 || len(e.PendingEvents) != 4 {
			t.Errorf("flush: %d pending, %d spooled, %d named, want 30, 30 and the 4 in memory", e.Pending, e.Spooled, len(e.PendingEvents))
		}
		sink.Recover()
		l.end(t)
	})
}

// unreadableSpool is a spool whose medium cannot be read for a while.
type unreadableSpool struct {
	audit.Spool

	mu  sync.Mutex
	err error
}

func (u *unreadableSpool) Read(from uint64, events, bytes int) ([]audit.SpooledEvent, int, error) {
	u.mu.Lock()
	err := u.err
	u.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	return u.Spool.Read(from, events, bytes)
}

func (u *unreadableSpool) mend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = nil
}
