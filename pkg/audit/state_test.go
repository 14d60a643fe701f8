package audit_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
)

func TestStateDescribesWhatAStoreHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, sink, clock := audittest.NewStore(t)
		if s := store.State(); s != (audit.State{}) {
			t.Errorf("an idle store: %+v", s)
		}
		sink.Reject(rejectType("test.state.bad"))
		record(t, store, audittest.NewEvent("test.state.bad", "theirs"))
		record(t, store, audittest.NewEvent("test.state.good", "ours"))
		_, _ = store.Flush(t.Context())
		sink.Fail(errDown)
		record(t, store, audittest.NewEvent("test.state.waiting", "ours"))
		clock.Step(time.Second)
		synctest.Wait()

		s := store.State()
		if s.Pending != 1 || s.PendingBytes == 0 || s.Spooled != 0 || s.Oldest != time.Second || s.BatchesInFlight != 1 || s.Rejected != 1 || s.SinkError == nil {
			t.Errorf("state %+v", s)
		}
		if u := store.Unacknowledged("theirs"); len(u.Rejected) != 1 || u.Rejected[0].Type != "test.state.bad" || u.Rejected[0].Reason == "" {
			t.Errorf("unacknowledged %+v", u)
		}
		if u := store.Unacknowledged("ours"); len(u.Rejected)+u.RejectedUnnamed+len(u.Lost)+u.LostUnnamed != 0 {
			t.Errorf("those of another correlation id: %+v", u)
		}
		if named := store.PendingEvents("ours"); len(named) != 1 || named[0].Type != "test.state.waiting" {
			t.Errorf("pending %+v", named)
		}
		sink.Recover()
		acknowledge(t, store, 1, store.Unacknowledged("").Rejected[0].ID)
	})
}

// TestF2_EventsThatAreOnlyCountedCanBeAcknowledgedByTheirIDs lists more rejected
// events than a flush names from the quarantine, and settles all of them.
func TestF2_EventsThatAreOnlyCountedCanBeAcknowledgedByTheirIDs(t *testing.T) {
	t.Parallel()
	disk, err := spool.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.state.bad"))
	store := newStore(t, sink, audit.WithSpool(disk))
	const rejected = 1005
	for i := range rejected {
		record(t, store, audittest.NewEvent("test.state.bad", fmt.Sprintf("rr-%d", i)))
	}
	_, _ = store.Flush(t.Context())
	if u := store.Unacknowledged(""); len(u.Rejected) != 1000 || u.RejectedUnnamed != 5 {
		t.Fatalf("%d named and %d counted, want 1000 and 5", len(u.Rejected), u.RejectedUnnamed)
	}
	ids := make([]uuid.UUID, 0, rejected)
	for _, q := range quarantined(t, store) {
		ids = append(ids, q.ID)
	}
	acknowledge(t, store, rejected, ids...)
	flush(t, store)
	if s := store.State(); s.Rejected != 0 || s.Spool == nil || s.Spool.Events != 0 {
		t.Errorf("state %+v", s)
	}
}
