package audittest

import (
	"context"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
)

// cleanupTimeout bounds the Close in the cleanup of NewStore, in real time.
const cleanupTimeout = 10 * time.Second

// Epoch is the time at which the fake clock of NewStore starts.
func Epoch() time.Time { return time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC) }

// NewStore makes a store on a fake clock, which stands still unless it is
// stepped, and a memory sink, whose delays use the same clock. At the end of
// the test the store is closed, and the test fails if an event is then not
// stored and not acknowledged. So let the sink recover, and acknowledge the
// events that the test had rejected or lost, before the test ends. The failure
// is reported at the caller's line.
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
		tb.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), cleanupTimeout)
		defer cancel()
		hint := ""
		if sink.outOfOrder() {
			cancel() // nobody will tell the sink to recover: do not wait for it
			hint = "; the test ended while its sink was told to fail, hang or be slow: call Recover before the end"
		}
		if err := store.Close(ctx); err != nil {
			tb.Errorf("close audit store: %v%s", err, hint)
		}
	})
	return store, sink, clock
}

// NewEvent makes a valid event of a type, for tests that do not care about its other fields.
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
