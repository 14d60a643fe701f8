package httpsink_test

import (
	"context"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// newStore makes a store on a frozen clock over a sink.
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

func flush(t *testing.T, store *audit.Store) {
	t.Helper()
	if _, err := store.Flush(t.Context()); err != nil {
		t.Errorf("flush: %v", err)
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
