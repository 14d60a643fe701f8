package httpapi

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/query"
)

// fullEvent has a value in each field.
func fullEvent() query.Stored {
	number := func(n int64) *int64 { return &n }
	at := time.Date(2026, 11, 27, 12, 30, 0, 123456000, time.UTC)
	return query.Stored{Event: event.Event{
		ID: uuid.MustParse("019ac4a7-7c00-7000-8000-0123456789ab"), ClaimedID: uuid.MustParse("019ac4a7-7c00-7000-8000-0123456789ac"),
		Version: "1.0", Type: "shop.order.paid", Timestamp: at.Add(time.Hour), ReceivedAt: at,
		Category: "shop", Action: "pay", Outcome: wire.EventOutcomeSuccess, CorrelationID: "c-1", Data: []byte(`{"a": [1, 2.50, {"b": "c: d, e"}], "f": null}`),
		ActorType: "user", ActorID: "ann", ActorIP: "192.0.2.1", ResourceType: "Order", ResourceID: "17", Namespace: "shop", ClusterID: "eu-1",
		Severity: "critical", DurationMicros: number(1_234_567), ErrorCode: "E1", ErrorMessage: "it broke",
		ParentID: uuid.MustParse("019ac4a7-7c00-7000-8000-0123456789ad"), RetentionDays: 90, Sensitive: true,
		ProducerID: "till-0", ProducerEpoch: number(7), ProducerSeq: number(math.MaxInt64), RecordedBy: "system:serviceaccount:shop:till",
	}, ErasedAt: &at}
}

func TestAnEventIsWrittenAsEncodingJSONWouldWriteIt(t *testing.T) {
	t.Parallel()
	texts := []string{"", "plain", "a \"quoted\" \\ text", "<b>&amp;</b>", "\x00\x01\b\f\n\r\t\x1f\x7f", "grün Ελλάδα 😀", "\u2028 and \u2029", "broken \xff\xc3 \xe2\x80"}
	tests := map[string]query.Stored{"everything": fullEvent(), "nothing": {}}
	for _, text := range texts {
		s := fullEvent()
		for _, field := range []*string{
			&s.Version, &s.Type, &s.Category, &s.Action, &s.CorrelationID, &s.ActorType, &s.ActorID, &s.ActorIP, &s.ResourceType, &s.ResourceID,
			&s.Namespace, &s.ClusterID, &s.Severity, &s.ErrorCode, &s.ErrorMessage, &s.ProducerID, &s.RecordedBy,
		} {
			*field = text
		}
		tests["text "+text] = s
		valid, err := json.Marshal(map[string]any{"k" + text: strings.ToValidUTF8(text, ""), "list": []string{text}})
		if err != nil {
			t.Fatal(err)
		}
		s.Data = valid
		tests["data "+text] = s
	}
	for _, data := range []string{`{}`, `{"a": {}, "b": []}`, `{"<a>": "&", "\"": "\\", "\\\" x": " y ", "z": "\u0001\ud83d\ude00"}`, `{"a": "` + "\u2028<" + `"}`, `{"a": "x\\"}`} {
		s := fullEvent()
		s.Data = []byte(data)
		tests["data "+data] = s
	}
	for _, micros := range []int64{0, 1, -1, 999, 1000, 1_000_001, math.MaxInt64, math.MinInt64} {
		s := fullEvent()
		s.DurationMicros = &micros
		tests["duration "+time.Duration(micros).String()] = s
	}
	for name, s := range tests {
		for _, belongs := range []belonging{{}, {foreign: true}, {unchecked: true}} {
			var want bytes.Buffer
			if err := json.NewEncoder(&want).Encode(wireEvent(&s, belongs)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := appendEvent([]byte("before "), &s, belongs)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if string(got) != "before "+strings.TrimSuffix(want.String(), "\n") {
				t.Errorf("%s: wrote\n%s\nwant\n%s", name, got, want.String())
			}
		}
	}
}

func TestTheAnswerToAnEventIsWrittenAsEncodingJSONWouldWriteIt(t *testing.T) {
	t.Parallel()
	second := uuid.New()
	at := time.Date(2026, 11, 27, 12, 30, 0, 123456000, time.UTC)
	for _, created := range []api.EventCreated{
		{},
		{EventId: uuid.New(), EventTimestamp: at, ConsistencyToken: "1-16/B374D848", Message: "stored"},
		{EventId: uuid.New(), EventTimestamp: at.In(time.FixedZone("", 3600)), Message: "<\"", StoredAs: &second},
	} {
		var want bytes.Buffer
		if err := json.NewEncoder(&want).Encode(created); err != nil {
			t.Fatal(err)
		}
		got, err := encodeCreated(&created)
		if err != nil || string(got) != want.String() {
			t.Errorf("got %s, %v, want %s", got, err, want.String())
		}
	}
}

func TestTheAnswerToABatchIsWrittenAsEncodingJSONWouldWriteIt(t *testing.T) {
	t.Parallel()
	for _, created := range []api.BatchCreated{
		{EventIds: []uuid.UUID{}},
		{EventIds: []uuid.UUID{uuid.New(), uuid.Nil, uuid.New()}, Created: 2, Duplicates: 1, ConsistencyToken: "1-16/B374D848", Message: "<\""},
		{EventIds: []uuid.UUID{uuid.New()}, Created: 1, StoredAs: &[]api.StoredAs{{Index: 0, EventId: uuid.New()}}},
	} {
		var want bytes.Buffer
		if err := json.NewEncoder(&want).Encode(created); err != nil {
			t.Fatal(err)
		}
		got, err := encodeBatchCreated(&created)
		if err != nil || string(got) != want.String() {
			t.Errorf("got %s, %v, want %s", got, err, want.String())
		}
	}
}

func TestATimeThatJSONDoesNotKnowIsAnError(t *testing.T) {
	t.Parallel()
	s := fullEvent()
	s.ReceivedAt = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := appendEvent(nil, &s, belonging{}); err == nil {
		t.Error("the year 12345 was written")
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	s := fullEvent()
	var out []byte
	for b.Loop() {
		out, _ = appendEvent(out[:0], &s, belonging{})
	}
}
