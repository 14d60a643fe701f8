package accesslog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/services/datastorage/internal/accesslog"
)

// TestAFullSpoolNeitherStopsReadsNorLosesThem is what a DataStorage meets whose database stays a standby.
func TestAFullSpoolNeitherStopsReadsNorLosesThem(t *testing.T) {
	t.Parallel()
	const segment = 64 << 10
	kept, err := spool.Open(t.TempDir(), spool.WithSegmentBytes(segment), spool.WithMaxBytes(2*segment))
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, clock.RealClock{}, audit.WithSpool(kept), audit.WithFullPolicy(audit.Spill), audit.WithBounds(1, 4<<20))
	b.sink.Fail(errors.New("the database is a standby"))
	read := func(i int) {
		// The values make the events large.
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Filters: filters("correlation_id", fmt.Sprintf("%0250d", i)), Events: 1})
	}
	flush := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return b.Flush(ctx)
	}
	reads := 0
	for err == nil {
		if reads > 1000*10 {
			t.Fatal("the spool is never full")
		}
		for range 10 {
			read(reads)
			reads++
		}
		err = flush()
	}
	if !errors.Is(err, audit.ErrFull) {
		t.Fatalf("error %v, want one that says that the store is full", err)
	}
	for range 3 {
		for range 200 { // more values than an event lists
			read(reads)
			reads++
		}
		if err := flush(); err == nil {
			t.Error("recorded into a full spool")
		}
	}
	b.sink.Recover()
	if _, err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.flush()
	if n := b.sum("requests"); n != reads || b.sum("events") != reads {
		t.Errorf("%d requests recorded of %d", n, reads)
	}
}

// doubtful is a recorder whose first records end in doubt, and that keeps the events of each or not.
type doubtful struct {
	audit *audit.Store
	kept  []bool // of the records that end in doubt
}

func (d *doubtful) Record(ctx context.Context, e *audit.Event) error {
	if len(d.kept) == 0 {
		return d.audit.Record(ctx, e)
	}
	kept := d.kept[0]
	d.kept = d.kept[1:]
	if kept {
		if err := d.audit.Record(ctx, e); err != nil {
			return err
		}
	}
	return fmt.Errorf("wait for the spool: %w", audit.ErrInDoubt)
}

func TestWhatMayBeRecordedIsRecordedAgainUnderItsID(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	b.Log = accesslog.New(accesslog.Options{Recorder: &doubtful{b.store, []bool{true, false, true, false}}, Clock: clock.RealClock{}, Log: zap.NewNop()})
	for _, caller := range []string{"alice", "bob"} {
		b.Read(&accesslog.Read{Caller: by(caller), Kind: "list", Events: 1})
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for flushes := range 3 { // both, and then each again
		if err := b.Flush(t.Context()); !errors.Is(err, audit.ErrInDoubt) {
			t.Fatalf("flush %d: error %v, want one that says that the event is in doubt", flushes, err)
		}
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Events: 1})
	}
	if err := b.Run(over, func() time.Duration { return time.Second }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids, requests := map[string]int{}, 0
	for i, data := range b.stored() {
		id := b.sink.Events()[i].ID.String()
		if ids[id]++; ids[id] == 1 {
			n, _ := data["requests"].(float64)
			requests += int(n)
		}
	}
	if len(ids) != 3 || requests != 5 {
		t.Errorf("%d events of %d requests, want 3 of 5", len(ids), requests)
	}
}
