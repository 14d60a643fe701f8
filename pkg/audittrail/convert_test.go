package audittrail_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
)

func TestToEventHasEveryRecordedField(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	id, parent := uuid.UUID{1}, uuid.UUID{2}
	got := audittrail.ToEvents([]datastorage.StoredEvent{{
		EventId: id, Version: "1.0", EventType: "a.b.c", EventTimestamp: at, EventCategory: "a", EventAction: "c",
		EventOutcome: datastorage.Failure, CorrelationId: "rr-1", EventData: json.RawMessage(`{"n":1}`),
		ActorType: new("user"), ActorId: new("alice"), ActorIp: new("::1"),
		ResourceType: new("Pod"), ResourceId: new("p"), Namespace: new("n"), ClusterId: new("c"),
		Severity: new("high"), DurationMs: new(1.5), ErrorCode: new("E1"), ErrorMessage: new("no"),
		ParentEventId: &parent, RetentionDays: new(int32(7)), IsSensitive: new(true),
		ProducerId: new("gateway-0"), ProducerEpoch: new(int64(42)), ProducerSeq: new(int64(3)),
		EventDate: "2026-01-02", ReceivedAt: at, RecordedBy: new("system:serviceaccount:a:b"),
	}, {ProducerSeq: new(int64(-1))}})
	want := audit.Event{
		ID: id, Version: "1.0", Type: "a.b.c", Timestamp: at, Category: "a", Action: "c",
		Outcome: audit.OutcomeFailure, CorrelationID: "rr-1", Data: json.RawMessage(`{"n":1}`),
		ActorType: "user", ActorID: "alice", ActorIP: "::1",
		ResourceType: "Pod", ResourceID: "p", Namespace: "n", ClusterID: "c",
		Severity: "high", Duration: new(1500 * time.Microsecond), ErrorCode: "E1", ErrorMessage: "no",
		ParentID: parent, RetentionDays: 7, Sensitive: true,
		Producer: audit.Producer{ID: "gateway-0", Epoch: 42, Sequence: 3},
	}
	if !reflect.DeepEqual(got, []audit.Event{want, {}}) {
		t.Errorf("events %+v, want %+v and an empty one", got, want)
	}
	for field, v := range reflect.ValueOf(want).Fields() {
		if v.IsZero() {
			t.Errorf("the test says nothing about %s", field.Name)
		}
	}
}

func TestDataValue(t *testing.T) {
	const data = `{"severity":{"value":"high","rank":2},"reasons":["a","b"],"none":null}`
	for path, want := range map[string]any{
		"severity.value":   "high",
		"severity.rank":    2.0,
		"severity":         map[string]any{"value": "high", "rank": 2.0},
		"reasons":          []any{"a", "b"},
		"none":             nil,
		"missing":          nil,
		"severity.missing": nil,
		"reasons.0":        nil,
		"":                 nil,
	} {
		if got, err := audittrail.DataValue(json.RawMessage(data), path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %v, %v, want %v", path, got, err, want)
		}
	}
	if got, err := audittrail.DataValue(nil, "a"); got != nil || err != nil {
		t.Errorf("without data: %v, %v", got, err)
	}
	if _, err := audittrail.DataValue(json.RawMessage(`{`), "a"); err == nil {
		t.Error("data that are not JSON have a value")
	}
}
