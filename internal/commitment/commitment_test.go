package commitment_test

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/internal/commitment"
)

func example() (commitment.Envelope, commitment.Subject, []byte, commitment.Salts) {
	var salts commitment.Salts
	for i := range salts {
		salts[i] = byte(i)
	}
	at := time.Date(2026, time.January, 2, 3, 4, 5, 678_901_000, time.UTC)
	envelope := commitment.Envelope{
		EventID: uuid.MustParse("0190163d-8694-739b-aea5-966c26f8ad91"), Version: "1.0", Type: "gateway.signal.received",
		Category: "gateway", Action: "received", Outcome: "success", Timestamp: at, ReceivedAt: at.Add(time.Second), SortTime: at,
		CorrelationID: "rr-1", Severity: "critical", DurationMicros: new(int64(1500)), RetentionDays: 2555, RecordedBy: "gateway",
		ProducerID: "gateway-0", ProducerEpoch: new(int64(1)), ProducerSeq: new(int64(2)),
	}
	subject := commitment.Subject{
		ActorType: "source", ActorID: "alertmanager", Namespace: "shop", ResourceType: "Pod", ResourceID: "cart-0",
	}
	return envelope, subject, []byte(`{"k":"v"}`), salts
}

// The form is a promise: logs of earlier versions have these commitments.
func TestTheFormIsFixed(t *testing.T) {
	t.Parallel()
	envelope, subject, data, salts := example()
	parts := commitment.Of(&envelope, &subject, data, &salts)
	for name, c := range map[string]struct {
		got  commitment.Sum
		want string
	}{
		"envelope":   {parts.Envelope, "69a67498dd1eb0dddc09a3c9b60e84167934a7124a7224212714d4a4b753a78e"},
		"subject":    {parts.Subject, "64e8831ea6f8b051ff34ec845a2bc17303400f7648dfc951ced85a3ea9486958"},
		"data":       {parts.Data, "3dd8991406b09e005a748e2a62d94d0e0b0e2bf1f833d2beee98400d2557137f"},
		"commitment": {parts.Commitment(), "9850c414144248797f5e4d2503dcb44cbe86d2c9f58de5d99c9623886c9c87c9"},
	} {
		if got := hex.EncodeToString(c.got[:]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A field that no hash covers could be changed unnoticed.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	envelope, subject, data, salts := example()
	base := commitment.Of(&envelope, &subject, data, &salts)
	changed := func(part any, change func(field reflect.Value)) {
		fields := reflect.ValueOf(part).Elem()
		for i := range fields.NumField() {
			field := fields.Field(i)
			before := reflect.ValueOf(field.Interface())
			change(field)
			if commitment.Of(&envelope, &subject, data, &salts).Commitment() == base.Commitment() {
				t.Errorf("%s is in no hash", fields.Type().Field(i).Name)
			}
			field.Set(before)
		}
	}
	another := func(field reflect.Value) {
		switch old := field.Interface().(type) {
		case string:
			field.SetString(old + "x")
		case bool:
			field.SetBool(!old)
		case int32:
			field.SetInt(int64(old) + 1)
		case time.Time:
			field.Set(reflect.ValueOf(old.Add(time.Microsecond)))
		case uuid.UUID:
			old[15]++
			field.Set(reflect.ValueOf(old))
		case *int64:
			field.Set(reflect.ValueOf((*int64)(nil)))
			if old == nil {
				field.Set(reflect.ValueOf(new(int64(0))))
			}
		default:
			t.Fatalf("a field of type %T: extend this test", old)
		}
	}
	changed(&envelope, another)
	changed(&subject, another)
	for i := range salts {
		salts[i]++
		if commitment.Of(&envelope, &subject, data, &salts).Commitment() == base.Commitment() {
			t.Errorf("byte %d of the salts is in no hash", i)
		}
		salts[i]--
	}
}

func TestPartsAreApart(t *testing.T) {
	t.Parallel()
	envelope, subject, data, salts := example()
	base := commitment.Of(&envelope, &subject, data, &salts)
	subject.ActorID = "another"
	got := commitment.Of(&envelope, &subject, data, &salts)
	if got.Envelope != base.Envelope || got.Data != base.Data || got.Subject == base.Subject {
		t.Error("a change of the subject reaches another part")
	}
	// Text that moves between neighbors.
	subject.ActorType, subject.ActorID = "sourcea", "nother"
	if commitment.Of(&envelope, &subject, data, &salts).Subject == got.Subject {
		t.Error("two different subjects have one hash")
	}
}

func BenchmarkOf(b *testing.B) {
	envelope, subject, _, salts := example()
	data := make([]byte, 474)
	b.ReportAllocs()
	for b.Loop() {
		commitment.Of(&envelope, &subject, data, &salts).Commitment()
	}
}
