package httpsink //nolint:testpackage // the encoder is an inner step

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// reference is the wire form by encoding/json and the type that is generated
// from the API's document.
func reference(e *audit.Event) ([]byte, error) {
	w := wire.AuditEvent{
		EventID: present(e.ID), Version: e.Version, EventType: e.Type, EventTimestamp: e.Timestamp.UTC(),
		EventCategory: e.Category, EventAction: e.Action, EventOutcome: wire.EventOutcome(e.Outcome),
		CorrelationID: e.CorrelationID, EventData: e.Data,
		ActorType: present(e.ActorType), ActorID: present(e.ActorID), ActorIP: present(e.ActorIP),
		ResourceType: present(e.ResourceType), ResourceID: present(e.ResourceID), Namespace: present(e.Namespace),
		ClusterID: present(e.ClusterID), Severity: present(e.Severity), ErrorCode: present(e.ErrorCode),
		ErrorMessage: present(e.ErrorMessage), ParentEventID: present(e.ParentID), RetentionDays: present(e.RetentionDays),
		IsSensitive: present(e.Sensitive), ProducerID: present(e.Producer.ID),
	}
	if e.Duration != nil {
		milliseconds := float64(e.Duration.Microseconds()) / 1000
		w.DurationMs = &milliseconds
	}
	if e.Producer != (audit.Producer{}) {
		sequence := int64(min(e.Producer.Sequence, math.MaxInt64))
		w.ProducerEpoch, w.ProducerSeq = &e.Producer.Epoch, &sequence
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(w)
	return bytes.TrimSpace(b.Bytes()), err
}

func present[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// pieces cuts fuzz input into the fields of an event.
type pieces struct{ rest []byte }

func (p *pieces) take(n int) []byte {
	taken := make([]byte, n)
	p.rest = p.rest[copy(taken, p.rest):]
	return taken
}

func (p *pieces) number() int64 {
	n := int64(0)
	for _, b := range p.take(8) {
		n = n<<8 | int64(b)
	}
	return n
}

func (p *pieces) text() string {
	size := min(int(p.take(1)[0]), len(p.rest))
	return string(p.take(size))
}

func (p *pieces) event() *audit.Event {
	e := &audit.Event{
		ID: uuid.UUID(p.take(16)), Version: p.text(), Type: p.text(), Timestamp: time.Unix(p.number()%(1<<38), p.number()%1e9),
		Category: p.text(), Action: p.text(), Outcome: audit.Outcome(p.text()), CorrelationID: p.text(),
		ActorType: p.text(), ActorID: p.text(), ActorIP: p.text(), ResourceType: p.text(), ResourceID: p.text(),
		Namespace: p.text(), ClusterID: p.text(), Severity: p.text(), ErrorCode: p.text(), ErrorMessage: p.text(),
		ParentID: uuid.UUID(p.take(16)), RetentionDays: int32(p.number()), Sensitive: p.take(1)[0]&1 == 1,
		Producer: audit.Producer{ID: p.text(), Epoch: p.number(), Sequence: uint64(p.number())},
	}
	if p.take(1)[0]&1 == 1 {
		took := time.Duration(p.number())
		e.Duration = &took
	}
	e.Data = p.rest
	return e
}

// checkEncoding wants the encoder to write what encoding/json writes, except
// for white space within the data, and to refuse what that refuses.
func checkEncoding(t *testing.T, e *audit.Event) {
	t.Helper()
	got, err := appendBatch(nil, []audit.Event{*e})
	want, wantErr := reference(e)
	if err != nil {
		var refused *audit.RefusedError
		if !errors.As(err, &refused) || len(refused.Items) != 1 || refused.Items[0].Index != 0 {
			t.Errorf("encode: %v, want a refusal of event 0", err)
		}
		if wantErr == nil && e.Validate() == nil {
			t.Errorf("valid event is refused: %v", err)
		}
		return
	}
	if wantErr != nil {
		t.Fatalf("encoded %s, but encoding/json fails: %v", got, wantErr)
	}
	line, more, ended := bytes.Cut(got, []byte{'\n'})
	if !ended || len(more) > 0 {
		t.Errorf("encoded %q, want one line", got)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil {
		t.Fatalf("encoded %s: %v", line, err)
	}
	if compact.String() != string(want) {
		t.Errorf("encoded\n%s\nwant\n%s", compact.String(), want)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("\x05a\"\\<\xff\x04\xe2\x80\xa8\x01\x03\x00\x1f\x7f\x08\xed\xa0\x80\xf0\x9f\x98\x80\n", 40)))
	f.Fuzz(func(t *testing.T, input []byte) {
		e := (&pieces{input}).event()
		checkEncoding(t, e)
		e.Data = json.RawMessage("{ \"a\":\n [1.50, \"<&>\\u2028\", null] }")
		checkEncoding(t, e)
	})
}

func TestEncodeWritesWhatEncodingJSONWrites(t *testing.T) {
	const longest = 1e12 * time.Millisecond
	t.Parallel()
	duration := func(d time.Duration) *time.Duration { return &d }
	for name, e := range map[string]audit.Event{
		"zero but for data": {Data: json.RawMessage(`{}`)},
		"every ASCII character": {
			CorrelationID: string(func() (all []byte) {
				for c := range byte(128) {
					all = append(all, c)
				}
				return all
			}()), Data: json.RawMessage(`{}`),
		},
		"odd unicode": {
			CorrelationID: "\u2027\u2028\u2029\u202a\ufffd\ufeff\U0010ffff\x80\xc3\xed\xa0\x80\xf4\x90\x80\x80 é ελληνικά 😀\xf0\x9f", Data: json.RawMessage(`{}`),
		},
		"shortest duration": {Duration: duration(time.Microsecond), Data: json.RawMessage(`{}`)},
		"longest duration":  {Duration: duration(longest), Data: json.RawMessage(`{}`)},
		"odd duration":      {Duration: duration(longest - 1001), Data: json.RawMessage(`{}`)},
		"negative duration": {Duration: duration(math.MinInt64), Data: json.RawMessage(`{}`)},
		"another zone":      {Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 5*3600)), Data: json.RawMessage(`{}`)},
		"limits of integers": {
			RetentionDays: math.MinInt32, Producer: audit.Producer{Epoch: math.MinInt64, Sequence: math.MaxInt64}, Data: json.RawMessage(`{}`),
		},
		"year 10000":            {Timestamp: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Data: json.RawMessage(`{}`)},
		"data breaks out":       {Data: json.RawMessage(`{}},{"event_data":{}`)},
		"no data":               {},
		"data of several lines": {Data: json.RawMessage("{\n \"a\" : 1\r\n}")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkEncoding(t, &e)
		})
	}
}

func TestEncodeNamesWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	good, bad := audit.Event{Data: json.RawMessage(`{}`)}, audit.Event{Data: json.RawMessage(`{`)}
	_, err := appendBatch(nil, []audit.Event{good, bad, good, bad})
	var refused *audit.RefusedError
	if !errors.As(err, &refused) || len(refused.Items) != 2 || refused.Items[0].Index != 1 || refused.Items[1].Index != 3 {
		t.Errorf("encode: %v, want refusals of events 1 and 3", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	data := json.RawMessage(`{"pod":"checkout-7f9c6d5b8-x2lqz","reason":"CrashLoopBackOff","fill":"` + strings.Repeat("signal ", 130) + `"}`)
	e := audit.Event{
		ID: audit.DerivedID(time.UnixMilli(1_767_323_045_000), "bench"), Version: audit.SchemaVersion, Type: "gateway.signal.received",
		Timestamp: time.UnixMicro(1_767_323_045_678_901), Category: "gateway", Action: "received", Outcome: audit.OutcomeSuccess,
		CorrelationID: "rr-9f86d081884c-0123456789", ActorType: "source", ActorID: "alertmanager", ActorIP: "10.42.7.19",
		ResourceType: "RemediationRequest", ResourceID: "rr-9f86d081884c-0123456789", Namespace: "kubernaut-system",
		Severity: "critical", Producer: audit.Producer{ID: "gateway-0", Epoch: 1_767_323_045_000, Sequence: 4711}, Data: data,
	}
	batch := make([]audit.Event, 100)
	for i := range batch {
		batch[i] = e
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var room []byte
		for b.Loop() {
			var err error
			if room, err = appendBatch(room[:0], batch); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range batch {
				if _, err := reference(&batch[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
