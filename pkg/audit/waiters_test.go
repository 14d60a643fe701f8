package audit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// Regression test: a Record that gave up used to end the wait of another event,
// which had taken over the memory of its own.
func TestARecordThatGivesUpDisturbsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		answer := make(chan struct{})
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			if batch[0].CorrelationID == "second" {
				<-answer
			}
			return audit.Ack{}, nil
		}}
		s, err := audit.New(sink, audit.WithSpool(openSpool(t, spooltest.NewDisk())), audit.WithHook(func(m audit.HookPoint, _ int) {
			if m == audit.HookSpooled {
				<-hold
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { first <- s.RecordWith(ctx, numberedEvent("first", 0), audit.Spooled) }()
		synctest.Wait()
		flush(t, s) // it is stored, and its memory is free
		second := make(chan error, 1)
		go func() { second <- s.RecordWith(t.Context(), numberedEvent("second", 0), audit.Stored) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		t.Logf("first: %v", <-first)
		close(answer)
		select {
		case err := <-second:
			t.Logf("second: %v", err)
		case <-time.After(24 * time.Hour):
			t.Error("the second event is stored since a day, and its Record waits still")
		}
		close(hold)
		_ = s.Close(t.Context())
	})
}

// Regression test: two rejected events that wrongly had one id used to be one rejection.
func TestF2_TwoRejectedEventsOfOneIDAreTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(rejectType("test.spool.event"))
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		a, b := numberedEvent("a", 0), numberedEvent("b", 0)
		b.ID = uuid.Must(uuid.NewV7())
		a.ID = b.ID
		record(t, s, b)
		_, _ = s.Flush(t.Context())
		record(t, s, a)
		if _, err := s.FlushFor(t.Context(), "a"); err == nil {
			t.Error("the event of a was rejected, and the flush for a returns nil")
		}
		giveUpOn(t, s)
	})
}

// Regression test: a Record of Stored durability used to wait forever for an event
// that the disk had lost.
func TestAStrictRecordHearsOfDamage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := downSink()
		kept := &heldReads{Spool: openSpool(t, spooltest.NewDisk()), after: func([]audit.SpooledEvent, int, error) ([]audit.SpooledEvent, int, error) {
			return nil, 0, nil
		}}
		l := beginOver(t, kept, sink, audit.WithBounds(1, 2<<20), audit.WithFullPolicy(audit.Spill))
		l.numbered(t, "a", 0, 3)
		got := make(chan error, 1)
		go func() { got <- l.RecordWith(t.Context(), numberedEvent("c", 0), audit.Stored) }()
		synctest.Wait()
		sink.Recover()
		_, err := l.Flush(t.Context())
		t.Logf("flush: %v", err)
		select {
		case err := <-got:
			t.Logf("record: %v", err)
		case <-time.After(24 * time.Hour):
			t.Error("the event is lost since a day, and its Record waits still")
		}
		giveUpOn(t, l.Store)
	})
}
