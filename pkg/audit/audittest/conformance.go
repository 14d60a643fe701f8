package audittest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// Subject is a sink under test, with a way to see what it stored.
type Subject struct {
	Sink audit.Sink
	// Stored reads the events of a correlation id by (timestamp, id). It must
	// see what Write acknowledged at once.
	Stored func(ctx context.Context, correlationID string) ([]audit.Event, error)
}

// TestSink checks that a sink keeps the contract of audit.Sink. newSubject
// makes a sink for one subtest; the sinks may share their storage, because
// every correlation id is random.
func TestSink(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, *conformance){
		"stores a batch, visible when Write returns":       checkStores,
		"an empty batch is nothing":                        checkEmpty,
		"a replay is stored once and counts as stored":     checkReplay,
		"an event twice in a batch is stored once":         checkTwiceInBatch,
		"another event with the same id is refused":        checkConflict,
		"an invalid event is named, and nothing is stored": checkInvalid,
		"neither changes nor keeps the batch":              checkBatchIsCallers,
		"returns when its context ended":                   checkContext,
		"concurrent writes":                                checkConcurrent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, &conformance{Subject: newSubject(t), correlationID: "conformance-" + uuid.NewString()})
		})
	}
}

// conformance is one subtest's subject and correlation id.
type conformance struct {
	Subject

	correlationID string
}

// batch makes n valid events as a store would pass them.
func (c *conformance) batch(n int) []audit.Event {
	now := time.Now().UTC().Truncate(time.Microsecond)
	batch := make([]audit.Event, n)
	for i := range batch {
		batch[i] = *NewEvent("audittest.conformance.event", c.correlationID)
		batch[i].ID = audit.DerivedID(now, c.correlationID, uuid.NewString())
		batch[i].Version = audit.SchemaVersion
		batch[i].Timestamp = now.Add(time.Duration(i) * time.Microsecond)
		batch[i].Data = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	return batch
}

// mustWrite writes a batch that the sink has to store.
func (c *conformance) mustWrite(t *testing.T, batch []audit.Event) audit.Ack {
	t.Helper()
	ack, err := c.Sink.Write(t.Context(), batch)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return ack
}

// assertStored wants exactly these events in storage.
func (c *conformance) assertStored(t *testing.T, want []audit.Event) {
	t.Helper()
	stored, err := c.Stored(t.Context(), c.correlationID)
	if err != nil {
		t.Fatalf("read what is stored: %v", err)
	}
	if len(stored) != len(want) {
		t.Fatalf("%d events are stored, want %d", len(stored), len(want))
	}
	for i := range want {
		if stored[i].ID != want[i].ID || !stored[i].Timestamp.Equal(want[i].Timestamp) || !sameContent(&stored[i], &want[i]) {
			t.Errorf("stored event %d is %+v, want %+v", i, stored[i], want[i])
		}
	}
}

func checkStores(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(20)
	ack := c.mustWrite(t, batch)
	if ack.Created != len(batch) || ack.Duplicates != 0 {
		t.Errorf("ack %+v, want %d created", ack, len(batch))
	}
	c.assertStored(t, batch)
}

func checkEmpty(t *testing.T, c *conformance) {
	t.Helper()
	if ack := c.mustWrite(t, nil); ack.Created != 0 || ack.Duplicates != 0 {
		t.Errorf("ack %+v, want nothing created", ack)
	}
	c.assertStored(t, nil)
}

func checkReplay(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(5)
	c.mustWrite(t, batch[:3])
	replay := slices.Clone(batch)
	replay[0].Timestamp = replay[0].Timestamp.Add(time.Microsecond)
	replay[0].Producer = audit.Producer{ID: "another life", Epoch: 1, Sequence: 1}
	if ack := c.mustWrite(t, replay); ack.Created != 2 || ack.Duplicates != 3 {
		t.Errorf("ack %+v, want 2 created and 3 duplicates", ack)
	}
	c.assertStored(t, batch)
}

func checkTwiceInBatch(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(2)
	if ack := c.mustWrite(t, []audit.Event{batch[0], batch[1], batch[0]}); ack.Created != 2 || ack.Duplicates != 1 {
		t.Errorf("ack %+v, want 2 created and 1 duplicate", ack)
	}
	c.assertStored(t, batch)
}

func checkConflict(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(3)
	c.mustWrite(t, batch[:1])
	forged := slices.Clone(batch)
	forged[0].Outcome = audit.OutcomeFailure
	_, err := c.Sink.Write(t.Context(), []audit.Event{forged[1], forged[0], forged[2]})
	assertRefused(t, err, 1)
	c.assertStored(t, batch[:1])
	c.mustWrite(t, batch[1:])
	c.assertStored(t, batch)
}

func checkInvalid(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(4)
	bad := slices.Clone(batch)
	bad[1].Outcome = "perhaps"
	bad[3].Type = ""
	_, err := c.Sink.Write(t.Context(), bad)
	assertRefused(t, err, 1, 3)
	c.assertStored(t, nil)
}

// assertRefused wants a refusal that names these events.
func assertRefused(t *testing.T, err error, indexes ...int) {
	t.Helper()
	var refused *audit.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("write: %v, want a *RefusedError", err)
	}
	named := make([]int, 0, len(refused.Items))
	for _, item := range refused.Items {
		named = append(named, item.Index)
		if item.Code == "" || item.Reason == "" {
			t.Errorf("refusal %+v has no code or no reason", item)
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, indexes) {
		t.Errorf("refusal names events %v, want %v", named, indexes)
	}
}

func checkBatchIsCallers(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(3)
	passed := make([]audit.Event, len(batch))
	for i := range batch {
		passed[i] = clone(batch[i])
	}
	c.mustWrite(t, passed)
	for i := range passed {
		if passed[i].ID != batch[i].ID || !sameContent(&passed[i], &batch[i]) {
			t.Errorf("the sink changed event %d to %+v", i, passed[i])
		}
		copy(passed[i].Data, `{"x":9}`)
		passed[i].Type = "audittest.changed.afterwards"
	}
	c.assertStored(t, batch)
}

func checkContext(t *testing.T, c *conformance) {
	t.Helper()
	batch := c.batch(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Sink.Write(ctx, batch); err == nil {
		t.Error("write under an ended context is nil")
	} else if errors.Is(err, audit.ErrRefused) {
		t.Errorf("write under an ended context: %v, which would quarantine the events", err)
	}
	c.mustWrite(t, batch)
	c.assertStored(t, batch)
}

func checkConcurrent(t *testing.T, c *conformance) {
	t.Helper()
	const writers, each = 8, 10
	all := c.batch(writers * each)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			own := all[w*each : (w+1)*each]
			for range 2 { // each batch is replayed once
				if _, err := c.Sink.Write(t.Context(), own); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	writing.Wait()
	c.assertStored(t, all)
}
