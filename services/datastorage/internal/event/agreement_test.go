package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/event"
)

// What the clients' library accepts is never refused here for its data, and
// what it refuses would be: a mistake comes back to its author, and nothing
// else does.
func FuzzClientsAndDataStorageAgreeOnData(f *testing.F) {
	for _, data := range []string{
		`{}`, ` { "a" : [1, -2.50e3, "x\n\u00e9\ud83d\ude00\/", true, null, {"b":{}}] } `, `{"a":1,"\u0061":1}`, `{"a":"\u0000"}`,
		`{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":0e999}`, `{"a":1e309}`, `{"a":-0.0001e-322}`, `{"event_type":"test.data.agrees"}`,
		`{"event_type":"\u0074est.data.agrees"}`, `{"event_type":null}`, `[]`,
		`{"a":` + string(bytes.Repeat([]byte("["), 62)) + string(bytes.Repeat([]byte("]"), 62)) + `}`,
		`{"a":` + string(bytes.Repeat([]byte("["), 63)) + string(bytes.Repeat([]byte("]"), 63)) + `}`,
	} {
		f.Add([]byte(data), uint(1))
	}
	now := time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)
	decoder := event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(now), bytes.NewReader(make([]byte, 1<<20)))
	f.Fuzz(func(t *testing.T, data []byte, times uint) {
		if !json.Valid(data) {
			return // it would not stay in its place in the body
		}
		// Many times the same shows what is bounded by size.
		if times %= 300_000; times > 1 {
			data = fmt.Appendf(nil, `{"a":[%s%s]}`, bytes.Repeat(append(bytes.Clone(data), ','), int(min(times, 1<<20/uint(len(data)+1)))), data)
		}
		e := audit.Event{
			ID: audit.DerivedID(now, "agreement"), Version: audit.SchemaVersion, Type: "test.data.agrees", Timestamp: now,
			Category: "test", Action: "test", Outcome: audit.OutcomeSuccess, CorrelationID: "a", Data: data,
		}
		body := fmt.Appendf(nil, `{"event_id":%q,"version":"1.0","event_type":"test.data.agrees","event_timestamp":"2026-01-02T03:04:05Z",`+
			`"event_category":"test","event_action":"test","event_outcome":"success","correlation_id":"a","event_data":%s}`, e.ID, data)
		batch, err := decoder.One(body, "")
		var unusable *event.BodyError
		if err != nil && !errors.As(err, &unusable) {
			t.Fatal(err)
		}
		refused := err != nil || len(batch.Refusals) > 0
		if tooLarge := len(data) > audit.MaxDataBytes; !tooLarge && (e.Validate() != nil) != refused {
			t.Errorf("data %.200q: client says %v, DataStorage %v %+v", data, e.Validate(), err, batch.Refusals)
		}
	})
}
