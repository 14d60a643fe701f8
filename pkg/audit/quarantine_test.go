package audit_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// Regression test: a store with a full quarantine and a damaged log used not to start.
func TestF8_AFullQuarantineDoesNotStopTheStore(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.spool.bad"))
	first := beginOver(t, openSpool(t, disk), sink)
	bad := numberedEvent("bad", 0)
	bad.Type = "test.spool.bad"
	record(t, first.Store, bad)
	_, _ = first.Flush(t.Context())
	sink.Fail(errDown)
	first.numbered(t, "a", 0, 5)
	first.kill(t, disk)
	// Not in the newest segment, where it might be torn.
	second := begin(t, disk, sink)
	second.numbered(t, "a", 5, 6)
	second.kill(t, disk)
	if err := disk.Corrupt(segmentFile(t, disk, `{"n":2}`), func(b []byte) []byte {
		b[bytes.Index(b, []byte(`{"n":2}`))] ^= 1
		return b
	}); err != nil {
		t.Fatal(err)
	}
	store, err := audit.New(sink, audit.WithSpool(openSpool(t, disk, spool.WithQuarantine(1, 1<<20))))
	if err != nil {
		t.Fatalf("make store: %v", err)
	}
	closeWithin(t, store)
}

// Regression test: a batch that the sink answered with a 500 each time used to keep
// all other events waiting.
func TestF9_AFailureOfOneBatchDoesNotStarveTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stored := make(map[string]int)
		sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
			for i := range batch {
				if batch[i].CorrelationID == "p" {
					return audit.Ack{}, &audit.SinkError{Status: 500}
				}
			}
			for i := range batch {
				stored[batch[i].CorrelationID]++
			}
			return audit.Ack{Created: len(batch)}, nil
		}}
		store, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		recordAll(t, store, "p")
		<-time.After(time.Second)
		recordAll(t, store, "abc")
		<-time.After(time.Hour)
		if len(stored) != 3 {
			t.Errorf("%v stored within an hour of %d writes, want a, b and c", stored, len(sink.sizes()))
		}
		closeWithin(t, store)
	})
}

// Regression test: Validate used to accept data nested deeper than DataStorage takes.
func TestValidateKnowsTheDepthThatDataStorageTakes(t *testing.T) {
	t.Parallel()
	e := audittest.NewEvent("test.review.deep", "a")
	e.Data = []byte(strings.Repeat(`{"x":`, 100) + `{}` + strings.Repeat(`}`, 100))
	if err := e.Validate(); err == nil {
		t.Error("data nested 101 deep is valid")
	}
}

// Regression test: a sector that could not be read used to keep the spool from opening.
func TestF8_AnUnreadableSegmentDoesNotStopTheStore(t *testing.T) {
	t.Parallel()
	disk := diskWithPending(t, 5)
	disk.FailNext(spooltest.Read, false)
	if _, err := spool.Open(spoolDir, spool.WithFiles(disk)); err != nil {
		t.Errorf("open: %v, although damage is no error", err)
	}
}
