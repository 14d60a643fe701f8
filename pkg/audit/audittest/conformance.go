package audittest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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
	for name, check := range conformanceChecks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, newConformance(newSubject(t)))
		})
	}
}

// conformanceChecks are the subtests of TestSink.
func conformanceChecks() map[string]func(testing.TB, *conformance) {
	return map[string]func(testing.TB, *conformance){
		"stores a batch, visible when Write returns":       checkStores,
		"stores every field of an event":                   checkFields,
		"an empty batch is nothing":                        checkEmpty,
		"a replay is stored once and counts as stored":     checkReplay,
		"an event twice in a batch is stored once":         checkTwiceInBatch,
		"another event with the same id is refused":        checkConflict,
		"an invalid event is named, and nothing is stored": checkInvalid,
		"neither changes nor keeps the batch":              checkBatchIsCallers,
		"returns when its context ended":                   checkContext,
		"stores all or nothing when its context ends":      checkContextEnds,
		"concurrent writes":                                checkConcurrent,
		"concurrent writes of several correlation ids":     checkConcurrentTrails,
		"a replay that races its original is stored once":  checkRace,
	}
}

// conformance is a subject and a correlation id of its own.
type conformance struct {
	Subject

	correlationID string
}

func newConformance(subject Subject) *conformance {
	return &conformance{Subject: subject, correlationID: "conformance-" + uuid.NewString()}
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
func (c *conformance) mustWrite(tb testing.TB, batch []audit.Event) audit.Ack {
	tb.Helper()
	ack, err := c.Sink.Write(tb.Context(), batch)
	if err != nil {
		tb.Fatalf("write: %v", err)
	}
	return ack
}

// assertStored wants exactly these events in storage.
func (c *conformance) assertStored(tb testing.TB, want []audit.Event) {
	tb.Helper()
	if err := c.stored(tb.Context(), want); err != nil {
		tb.Error(err)
	}
}

// stored says how storage differs from these events, if it does.
func (c *conformance) stored(ctx context.Context, want []audit.Event) error {
	stored, err := c.Stored(ctx, c.correlationID)
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	if len(stored) != len(want) {
		return fmt.Errorf("%d events are stored, want %d", len(stored), len(want))
	}
	for i := range want {
		if !sameEvent(&stored[i], &want[i]) {
			return fmt.Errorf("stored event %d is %+v, want %+v", i, stored[i], want[i])
		}
	}
	return nil
}

// sameEvent compares what a sink has to keep of an event: all but the producer.
func sameEvent(a, b *audit.Event) bool {
	if (a.Duration == nil) != (b.Duration == nil) || a.Duration != nil && *a.Duration != *b.Duration {
		return false
	}
	return a.Timestamp.Equal(b.Timestamp) && sameContent(a, b)
}

func checkStores(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(20)
	ack := c.mustWrite(tb, batch)
	if ack.Created != len(batch) || ack.Duplicates != 0 {
		tb.Errorf("ack %+v, want %d created", ack, len(batch))
	}
	c.assertStored(tb, batch)
}

func checkFields(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(2)
	took := 1500 * time.Microsecond
	e := &batch[1]
	e.Outcome = audit.OutcomePending
	e.Data = []byte(`{"text":"<é\n𝄞>","number":9007199254740993,"nested":{"list":[1,null,true]}}`)
	e.ActorType, e.ActorID, e.ActorIP = "user", "jane", "2001:db8::1"
	e.ResourceType, e.ResourceID, e.Namespace, e.ClusterID = "Pod", "api-0", "shop", "east"
	e.Severity, e.Duration, e.ErrorCode, e.ErrorMessage = "critical", &took, "E1", "too late"
	e.ParentID, e.RetentionDays, e.Sensitive = batch[0].ID, 90, true
	c.mustWrite(tb, batch)
	c.assertStored(tb, batch)
}

func checkEmpty(tb testing.TB, c *conformance) {
	tb.Helper()
	if ack := c.mustWrite(tb, nil); ack.Created != 0 || ack.Duplicates != 0 {
		tb.Errorf("ack %+v, want nothing created", ack)
	}
	c.assertStored(tb, nil)
}

func checkReplay(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(5)
	c.mustWrite(tb, batch[:3])
	replay := slices.Clone(batch)
	replay[0].Timestamp = replay[0].Timestamp.Add(time.Microsecond)
	replay[0].Producer = audit.Producer{ID: "another process", Epoch: 1, Sequence: 1}
	if ack := c.mustWrite(tb, replay); ack.Created != 2 || ack.Duplicates != 3 {
		tb.Errorf("ack %+v, want 2 created and 3 duplicates", ack)
	}
	c.assertStored(tb, batch)
}

func checkTwiceInBatch(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(2)
	if ack := c.mustWrite(tb, []audit.Event{batch[0], batch[1], batch[0]}); ack.Created != 2 || ack.Duplicates != 1 {
		tb.Errorf("ack %+v, want 2 created and 1 duplicate", ack)
	}
	c.assertStored(tb, batch)
}

func checkConflict(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(3)
	c.mustWrite(tb, batch[:1])
	forged := slices.Clone(batch)
	forged[0].Outcome = audit.OutcomeFailure
	_, err := c.Sink.Write(tb.Context(), []audit.Event{forged[1], forged[0], forged[2]})
	assertRefused(tb, err, 1)
	c.assertStored(tb, batch[:1])
	c.mustWrite(tb, batch[1:])
	c.assertStored(tb, batch)
}

func checkInvalid(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(4)
	bad := slices.Clone(batch)
	bad[1].Outcome = "perhaps"
	bad[3].Type = ""
	_, err := c.Sink.Write(tb.Context(), bad)
	assertRefused(tb, err, 1, 3)
	c.assertStored(tb, nil)
}

// assertRefused wants a refusal that names these events.
func assertRefused(tb testing.TB, err error, indexes ...int) {
	tb.Helper()
	var refused *audit.RefusedError
	if !errors.As(err, &refused) {
		tb.Fatalf("write: %v, want a *RefusedError", err)
	}
	named := make([]int, 0, len(refused.Items))
	for _, item := range refused.Items {
		named = append(named, item.Index)
		if item.Code == "" || item.Reason == "" {
			tb.Errorf("refusal %+v has no code or no reason", item)
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, indexes) {
		tb.Errorf("refusal names events %v, want %v", named, indexes)
	}
}

func checkBatchIsCallers(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(3)
	passed := cloneAll(batch)
	c.mustWrite(tb, passed)
	for i := range passed {
		if !sameEvent(&passed[i], &batch[i]) || !bytes.Equal(passed[i].Data, batch[i].Data) {
			tb.Errorf("the sink changed event %d to %+v", i, passed[i])
		}
		copy(passed[i].Data, `{"x":9}`)
		passed[i].Type = "audittest.changed.afterwards"
	}
	c.assertStored(tb, batch)
}
