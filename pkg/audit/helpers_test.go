package audit_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// newStore makes a store on a frozen clock over a sink of the test's own.
func newStore(t *testing.T, sink audit.Sink, options ...audit.Option) *audit.Store {
	t.Helper()
	defaults := []audit.Option{audit.WithClock(clocktesting.NewFakeClock(audittest.Epoch()))}
	store, err := audit.New(sink, append(defaults, options...)...)
	if err != nil {
		t.Fatalf("make store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return store
}

func record(t *testing.T, store *audit.Store, e *audit.Event) {
	t.Helper()
	if err := store.Record(t.Context(), e); err != nil {
		t.Errorf("record: %v", err)
	}
}

func flush(t *testing.T, store *audit.Store) audit.Receipt {
	t.Helper()
	receipt, err := store.Flush(t.Context())
	if err != nil {
		t.Errorf("flush: %v", err)
	}
	return receipt
}

// acknowledge wants the store to know n of the ids.
func acknowledge(t *testing.T, store *audit.Store, n int, ids ...uuid.UUID) {
	t.Helper()
	if known, err := store.Acknowledge(ids...); err != nil || known != n {
		t.Errorf("acknowledge: %d, %v, want %d", known, err, n)
	}
}

// quarantined lists the store's quarantine.
func quarantined(t *testing.T, store *audit.Store) []audit.Quarantined {
	t.Helper()
	list, err := store.Quarantine()
	if err != nil {
		t.Fatalf("list quarantine: %v", err)
	}
	return list
}

// errorOf drops the receipt.
func errorOf(_ audit.Receipt, err error) error { return err }

// storedEvents wants n events in the sink.
func storedEvents(t *testing.T, sink *audittest.MemorySink, n int) []audit.Event {
	t.Helper()
	events := sink.Events()
	if len(events) != n {
		t.Fatalf("%d events are stored, want %d", len(events), n)
	}
	return events
}

func asFlushError(t *testing.T, err error) *audit.FlushError {
	t.Helper()
	var e *audit.FlushError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *FlushError", err)
	}
	return e
}

// rejectType makes a sink refuse, by name, the events of a type.
func rejectType(eventType string) func(audit.Event) error {
	return func(e audit.Event) error {
		if e.Type == eventType {
			return errors.New("not wanted")
		}
		return nil
	}
}

// runningFlush is a flush in its own goroutine.
type runningFlush struct {
	done    chan struct{}
	receipt audit.Receipt
	err     error
}

func startFlush(t *testing.T, store *audit.Store) *runningFlush {
	t.Helper()
	f := &runningFlush{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.receipt, f.err = store.Flush(t.Context())
	}()
	return f
}

func (f *runningFlush) wait() (audit.Receipt, error) {
	<-f.done
	return f.receipt, f.err
}

func (f *runningFlush) stillRuns(t *testing.T) {
	t.Helper()
	select {
	case <-f.done:
		t.Fatalf("flush returned early: %+v, %v", f.receipt, f.err)
	default:
	}
}
