package audittest_test

import (
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// batchOf makes n events that a sink can store.
func batchOf(n int) []audit.Event {
	batch := make([]audit.Event, n)
	for i := range batch {
		batch[i] = *audittest.NewEvent("test.batch.event", "rr-1")
		batch[i].Version = audit.SchemaVersion
		batch[i].Timestamp = audittest.Epoch()
		batch[i].ID = audit.DerivedID(audittest.Epoch(), uuid.NewString())
	}
	return batch
}

// answer is what a Write returned.
type answer struct {
	ack audit.Ack
	err error
}

// startWrite writes in its own goroutine.
func startWrite(t *testing.T, sink audit.Sink, batch []audit.Event) <-chan answer {
	t.Helper()
	done := make(chan answer, 1)
	go func() {
		ack, err := sink.Write(t.Context(), batch)
		done <- answer{ack, err}
	}()
	return done
}

func stillWrites(t *testing.T, done <-chan answer) {
	t.Helper()
	select {
	case a := <-done:
		t.Fatalf("write returned early: %+v", a)
	default:
	}
}
