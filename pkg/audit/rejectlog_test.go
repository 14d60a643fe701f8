package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

const rejectedLine = "audit sink rejected an event, it is in quarantine"

// Regression test: only the first rejection used to be logged, without a name.
func TestEachRejectionIsLoggedWithItsName(t *testing.T) {
	t.Parallel()
	var logs logbook
	store, sink, _ := audittest.NewStore(t, audit.WithLogger(logs.logger()))
	sink.Reject(rejectType("test.rejectlog.bad"))
	ids := []string{"a", "b"}
	want := make([]string, 0, len(ids))
	for _, id := range ids {
		bad := audittest.NewEvent("test.rejectlog.bad", id)
		bad.ID = audit.DerivedID(audittest.Epoch(), id)
		record(t, store, bad)
		e := asFlushError(t, errorOf(store.FlushFor(t.Context(), id)))
		r := e.Rejected[0]
		want = append(want, fmt.Sprint(r.ID, r.Type, r.CorrelationID, r.Code, r.Reason))
	}
	got := make([]string, 0, len(ids))
	for _, a := range logs.attrs(rejectedLine) {
		got = append(got, fmt.Sprint(a["event_id"], a["event_type"], a["correlation_id"], a["code"], a["reason"]))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, q := range quarantined(t, store) {
		acknowledge(t, store, 1, q.ID)
	}
}

func TestALogOfManyRejectionsIsBounded(t *testing.T) {
	t.Parallel()
	var logs logbook
	store, sink, _ := audittest.NewStore(t, audit.WithLogger(logs.logger()))
	sink.Reject(rejectType("test.rejectlog.bad"))
	for range 500 {
		record(t, store, audittest.NewEvent("test.rejectlog.bad", "a"))
	}
	_, _ = store.Flush(t.Context())
	if n := len(logs.attrs(rejectedLine)); n != 20 {
		t.Errorf("%d events are named, want 20", n)
	}
	if more := logs.attrs("audit sink rejected more events, they are in quarantine"); len(more) != 1 || more[0]["events"] != "480" {
		t.Errorf("the others are counted as %v, want 480", more)
	}
	for _, q := range quarantined(t, store) {
		acknowledge(t, store, 1, q.ID)
	}
}

func TestARestartLogsTheQuarantine(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewDisk()
	sink := audittest.NewMemorySink()
	sink.Reject(rejectType("test.spool.event"))
	first := begin(t, disk, sink)
	first.numbered(t, "a", 0, 2)
	_, _ = first.Flush(t.Context())
	first.kill(t, disk)
	var logs logbook
	second := begin(t, disk, sink, audit.WithLogger(logs.logger()))
	got := logs.attrs("audit quarantine has rejected events that nobody acknowledged")
	if len(got) != 1 || got[0]["events"] != "2" || got[0]["correlation_id"] != "a" {
		t.Errorf("logged %v, want 2 rejected events, the first of a", logs.lines())
	}
	second.kill(t, disk)
}
