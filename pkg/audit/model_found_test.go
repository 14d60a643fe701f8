package audit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// Sequences in which the model once found a promise broken.

func TestF4_ADeliveryGoesOnWhenAnotherIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := false
		answerB := make(chan struct{})
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			switch {
			case batch[0].CorrelationID == "b":
				<-answerB
			case !failed:
				failed = true
				return audit.Ack{}, errDown
			}
			return audit.Ack{Created: len(batch)}, nil
		}}
		store := newStore(t, sink, audit.WithBatch(1, audit.DefaultBatchBytes), audit.WithInFlight(2))
		recordAll(t, store, "ab")
		synctest.Wait() // a fails and pauses, b is in flight
		close(answerB)
		synctest.Wait()
		if got := len(sink.sizes()); got != 3 {
			t.Errorf("%d writes, want a third one: that of a again, because the sink answers", got)
		}
	})
}

func TestF2_ARetriedEventIsReportedUntilItIsStored(t *testing.T) {
	t.Parallel()
	for name, withSpool := range map[string]bool{"in memory": false, "with a spool": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink := audittest.NewMemorySink()
				options := []audit.Option{audit.WithBatch(1, audit.DefaultBatchBytes)}
				if withSpool {
					options = append(options, audit.WithSpool(openSpool(t, spooltest.NewDisk())))
				}
				store := newStore(t, sink, options...)
				sink.Reject(rejectType("test.retry.bad"))
				record(t, store, audittest.NewEvent("test.retry.bad", "a"))
				flushed := asFlushError(t, errorOf(store.Flush(t.Context())))

				sink.Hang()
				retry(t, store, 1)
				over, cancel := context.WithCancel(t.Context())
				cancel()
				if e := asFlushError(t, errorOf(store.Flush(over))); len(e.Rejected) != 1 || e.Pending != 1 {
					t.Errorf("flush during the retry: %+v, want it pending and reported", e)
				}
				retry(t, store, 0) // it is on its way

				sink.Recover()
				e := asFlushError(t, errorOf(store.Flush(t.Context())))
				if len(e.Rejected) != 1 || e.Rejected[0].ID != flushed.Rejected[0].ID {
					t.Errorf("flush after it was refused again: %+v, want one rejection", e)
				}
				sink.Reject(nil)
				retry(t, store, 1)
				flush(t, store)
				storedEvents(t, sink, 1)
				if left := quarantined(t, store); len(left) != 0 {
					t.Errorf("%+v are in quarantine although they are stored", left)
				}
			})
		})
	}
}

func retry(t *testing.T, store *audit.Store, want int) {
	t.Helper()
	if n, err := store.Retry(t.Context()); n != want || err != nil {
		t.Errorf("retry: %d, %v, want %d", n, err, want)
	}
}

func TestStoredDurabilityIsAnsweredByItsOwnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, sink, _ := audittest.NewStore(t, audit.WithBatch(1, audit.DefaultBatchBytes))
		sink.Hang()
		first, second := audittest.NewEvent("test.strict.first", "a"), audittest.NewEvent("test.strict.second", "a")
		first.ID = audit.DerivedID(audittest.Epoch(), "the same")
		second.ID = first.ID
		record(t, store, first)
		recording := startRecord(t.Context(), store, second, audit.Stored)
		synctest.Wait()
		sink.Recover()
		var rejected *audit.RejectedError
		if err := recording.wait(); !errors.As(err, &rejected) || rejected.Code != "conflict" {
			t.Errorf("record: %v, want the conflict: it is the first event that is stored", err)
		}
		acknowledge(t, store, 1, second.ID)
	})
}
