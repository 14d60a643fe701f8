package audittrail_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail"
)

func TestInProcessFlushesEveryStore(t *testing.T) {
	first, firstSink, _ := audittest.NewStore(t)
	second, secondSink, _ := audittest.NewStore(t)
	record := func(store *audit.Store, correlationID string) {
		t.Helper()
		if err := store.Record(t.Context(), audittest.NewEvent("test.process.event", correlationID)); err != nil {
			t.Fatal(err)
		}
	}
	flusher := audittrail.InProcess(first, second)

	record(first, "rr-1")
	record(second, "rr-1")
	receipts, err := flusher.Flush(t.Context(), "rr-1")
	if err != nil || !reflect.DeepEqual(audittrail.Tokens(receipts), []string{"memory-1"}) {
		t.Errorf("receipts %+v, error %v, want one of each sink", receipts, err)
	}
	record(first, "rr-2")
	record(second, "rr-3")
	if receipts, err = flusher.Flush(t.Context(), ""); err != nil || len(receipts) != 2 {
		t.Errorf("receipts %+v, error %v, want two", receipts, err)
	}
	if n := len(firstSink.Events()) + len(secondSink.Events()); n != 4 {
		t.Errorf("%d events are stored, want 4", n)
	}
}

// Another correlation id's rejected event fails a flush of everything alone.
func TestInProcessReportsEveryFailure(t *testing.T) {
	failing, sink, _ := audittest.NewStore(t)
	working, _, _ := audittest.NewStore(t)
	sink.Reject(func(audit.Event) error { return errors.New("not this one") })
	if err := failing.Record(t.Context(), audittest.NewEvent("test.process.event", "rr-1")); err != nil {
		t.Fatal(err)
	}
	flusher := audittrail.InProcess(failing, working)
	if _, err := flusher.Flush(t.Context(), "rr-2"); err != nil {
		t.Errorf("flush of another correlation id: %v", err)
	}
	for _, correlationID := range []string{"rr-1", ""} {
		receipts, err := flusher.Flush(t.Context(), correlationID)
		failure, ok := errors.AsType[*audit.FlushError](err)
		if !ok || len(failure.Rejected) != 1 || len(receipts) != 1 {
			t.Errorf("flush of %q: %+v, %v, want one receipt and one rejection", correlationID, receipts, err)
			continue
		}
		if correlationID == "" {
			if _, err := failing.Acknowledge(failure.Rejected[0].ID); err != nil {
				t.Error(err)
			}
		}
	}
}

var _ audittrail.Store = (*audit.Store)(nil)

// canceled is a context that has ended.
func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
