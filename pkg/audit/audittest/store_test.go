package audittest_test

import (
	"testing"
	"time"

	"kubernaut.ai/pkg/audit/audittest"
)

// The store and its sink live by the same clock.
func TestNewStoreIsSlowOnItsClock(t *testing.T) {
	t.Parallel()
	store, sink, clock := audittest.NewStore(t)
	sink.Slow(time.Hour)
	if err := store.Record(t.Context(), audittest.NewEvent("test.store.event", "rr-1")); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() {
		_, err := store.Flush(t.Context())
		flushed <- err
	}()
	if err := sink.AwaitWrites(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Hour)
	if err := <-flushed; err != nil {
		t.Errorf("flush: %v", err)
	}
	if n := len(sink.EventsOf("rr-1")); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}
