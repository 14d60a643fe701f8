package audittest

import (
	"context"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
)

// cleanupTimeout bounds the Close of NewStore's cleanup, in real time.
const cleanupTimeout = 10 * time.Second

// Epoch is where the fake clock of NewStore starts.
func Epoch() time.Time { return time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC) }

// NewStore makes a store on a fake clock, which never ticks unless it is
// stepped, and a memory sink, whose delays go by the same clock. At the end of
// the test the store is closed, and the test fails if that leaves an event
// unstored and unacknowledged: let the sink recover, or acknowledge what the
// test had refused or lost, before the end.
func NewStore(tb testing.TB, options ...audit.Option) (*audit.Store, *MemorySink, *clocktesting.FakeClock) {
	tb.Helper()
	clock := clocktesting.NewFakeClock(Epoch())
	sink := newMemorySink(clock)
	defaults := []audit.Option{audit.WithClock(clock), audit.WithProducerID("test")}
	store, err := audit.New(sink, append(defaults, options...)...)
	if err != nil {
		tb.Fatalf("make audit store: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), cleanupTimeout)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			tb.Errorf("close audit store: %v", err)
		}
	})
	return store, sink, clock
}

// NewEvent is a valid event of a type, for tests that care for little else.
func NewEvent(eventType, correlationID string) *audit.Event {
	return &audit.Event{
		Type:          eventType,
		Category:      "test",
		Action:        "test",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: correlationID,
		Data:          []byte(`{"test":true}`),
	}
}
