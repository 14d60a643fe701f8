package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// large is an event of about a megabyte, with its own id.
func large(n int) *audit.Event {
	e := numberedEvent("a", n)
	e.ID = audit.DerivedID(audittest.Epoch(), fmt.Sprint(n))
	e.Data = fmt.Appendf(nil, `{"n":%d,"x":"%01000000d"}`, n, 0)
	return e
}

// says wants an error to wrap another, and to have texts.
func says(t *testing.T, err, target error, texts ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func TestF6_ErrFullNamesTheBoundAndTheEvent(t *testing.T) {
	t.Parallel()

	t.Run("events", func(t *testing.T) {
		t.Parallel()
		store, _, _ := audittest.NewStore(t, audit.WithBounds(1, audit.DefaultMaxBytes), audit.WithFullPolicy(audit.Refuse), audit.WithBatch(2, 1<<20))
		record(t, store, numberedEvent("a", 0))
		says(t, store.Record(t.Context(), numberedEvent("rr-7", 1)), audit.ErrFull, "test.spool.event", `of "rr-7"`, "1 of 1 events")
	})

	t.Run("bytes, after waiting", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sink := downSink()
			store := newStore(t, sink, audit.WithBounds(10, 3<<20))
			for n := range 3 {
				record(t, store, large(n))
			}
			ctx, cancel := context.WithCancel(t.Context())
			waiting := startRecord(ctx, store, large(3), audit.Memory)
			synctest.Wait()
			cancel()
			err := waiting.wait()
			says(t, err, audit.ErrFull, "test.spool.event", large(3).ID.String(), "of 3145728 bytes")
			says(t, err, context.Canceled)
			sink.Recover()
		})
	})

	t.Run("bytes of the spool", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var logs logbook
			kept := openSpool(t, spooltest.NewDisk(), spool.WithMaxBytes(4<<20), spool.WithSegmentBytes(2<<20))
			l := beginOver(t, kept, downSink(), audit.WithFullPolicy(audit.Refuse), audit.WithLogger(logs.logger()))
			var err error
			for n := 0; err == nil && n < 10; n++ {
				err = l.RecordWith(t.Context(), large(n), audit.Spooled)
			}
			says(t, err, audit.ErrFull, "test.spool.event", "spool", "4194304")
			if errors.Is(err, audit.ErrInDoubt) {
				t.Errorf("error %v is in doubt", err)
			}
			if lines := strings.Join(logs.lines(), "\n"); !strings.Contains(lines, "warn: audit spool is full") || strings.Contains(lines, "error:") {
				t.Errorf("a spool that is full is no failure:\n%s", lines)
			}
			closeWithin(t, l.Store)
		})
	})
}

func TestF6_ErrInDoubtNamesTheEvent(t *testing.T) {
	t.Parallel()
	for _, durability := range []audit.Durability{audit.Spooled, audit.Stored} {
		t.Run(durability.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				held := newHeldSpool(openSpool(t, spooltest.NewDisk()))
				l := beginOver(t, held, downSink())
				held.hold()
				ctx, cancel := context.WithCancel(t.Context())
				running := startRecord(ctx, l.Store, large(0), durability)
				synctest.Wait()
				cancel()
				says(t, running.wait(), audit.ErrInDoubt, "test.spool.event", large(0).ID.String())
				held.release()
				synctest.Wait()
				closeWithin(t, l.Store)
			})
		})
	}
}

func TestNewSaysWhatNeedsASpool(t *testing.T) {
	t.Parallel()
	for text, option := range map[string]audit.Option{
		"audit store: durability spooled needs a spool":                      audit.WithDurability(audit.Spooled),
		"audit store: full policy spill needs a spool":                       audit.WithFullPolicy(audit.Spill),
		"audit store: event type test.a.b: durability spooled needs a spool": audit.WithDurability(audit.Spooled, "test.a.b"),
	} {
		_, err := audit.New(audittest.NewMemorySink(), option)
		if err == nil || !strings.HasPrefix(err.Error(), text) || strings.Contains(err.Error(), "memory") {
			t.Errorf("error %v, want %s", err, text)
		}
	}
}

func TestAnEventWithoutDataHasAnEmptyObject(t *testing.T) {
	t.Parallel()
	store, sink, _ := audittest.NewStore(t)
	e := numberedEvent("a", 0)
	e.Data = nil
	var recorder audit.Recorder = store
	if err := recorder.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	flush(t, store)
	if got := string(storedEvents(t, sink, 1)[0].Data); got != "{}" || e.Data != nil {
		t.Errorf("data %s is stored, and the caller's became %s", got, e.Data)
	}
}

func TestF10_ACleanStopIsToldFromALoss(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failure   audit.FlushError
		persisted bool
	}{
		"all on disk":           {audit.FlushError{Pending: 3, Spooled: 3}, true},
		"one in memory":         {audit.FlushError{Pending: 3, Spooled: 2}, false},
		"a rejected one":        {audit.FlushError{Pending: 3, Spooled: 3, Rejected: make([]audit.Rejection, 1)}, false},
		"an unnamed rejection":  {audit.FlushError{Pending: 3, Spooled: 3, RejectedUnnamed: 1}, false},
		"a lost one":            {audit.FlushError{Pending: 3, Spooled: 3, Lost: make([]audit.Reference, 1)}, false},
		"rejected ones on disk": {audit.FlushError{Pending: 3, Spooled: 3, RejectedPersisted: true, Rejected: make([]audit.Rejection, 1), RejectedUnnamed: 1}, true},
		"a loss beside them":    {audit.FlushError{RejectedPersisted: true, Rejected: make([]audit.Rejection, 1), LostUnnamed: 1}, false},
		"an unnamed loss":       {audit.FlushError{Pending: 3, Spooled: 3, LostUnnamed: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.failure.Persisted(); got != test.persisted {
				t.Errorf("persisted: %v, want %v", got, test.persisted)
			}
		})
	}
}
