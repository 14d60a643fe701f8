package event_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	testclock "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/event"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const someID = "0190163d-8694-739b-aea5-966c26f8ad91"

func newDecoder() *event.Decoder {
	limits := event.DefaultLimits()
	limits.Events, limits.DataBytes = 3, 100
	return event.NewDecoder(limits, testclock.NewFakePassiveClock(now), zeros{})
}

// zeros are not random.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// wire returns an event with some fields set to other values; nil removes one.
func wire(t *testing.T, changes map[string]any) []byte {
	t.Helper()
	fields := map[string]any{
		"version": "1.0", "event_type": "gateway.signal.received", "event_timestamp": "2026-01-02T03:04:05.123456789Z",
		"event_category": "gateway", "event_action": "received", "event_outcome": "success",
		"correlation_id": "rr-1", "event_data": map[string]any{"k": "v"},
	}
	for name, value := range changes {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// decode returns the one event of a body, or its refusal.
func decode(t *testing.T, body []byte, caller string) (*event.Event, *event.Refusal) {
	t.Helper()
	batch, err := newDecoder().One(body, caller)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(batch.Refusals) > 0 {
		return nil, &batch.Refusals[0]
	}
	return batch.Events[0], nil
}

func TestEventKeepsItsFields(t *testing.T) {
	t.Parallel()
	e, refusal := decode(t, wire(t, map[string]any{
		"event_id": someID, "actor_type": "service", "actor_ip": "2001:DB8::1", "cluster_name": "blue",
		"duration_ms": 1.2345, "retention_days": 30, "is_sensitive": true, "parent_event_id": someID,
		"producer_id": "p", "producer_epoch": 2, "producer_seq": 3, "severity": nil, "event_timestamp": "2026-01-02T04:04:05.123456789+01:00",
	}), "system:gateway")
	if refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC); !e.Timestamp.Equal(want) || e.Timestamp.Location() != time.UTC {
		t.Errorf("timestamp %v, want %v", e.Timestamp, want)
	}
	if e.ActorID != "system:gateway" || e.RecordedBy != "system:gateway" {
		t.Errorf("actor %q, recorded by %q: want the caller", e.ActorID, e.RecordedBy)
	}
	if e.ActorIP != "2001:db8::1" || e.ClusterID != "blue" || *e.DurationMicros != 1235 || e.RetentionDays != 30 || !e.Sensitive ||
		e.ParentID.String() != someID || e.ProducerID != "p" || *e.ProducerEpoch != 2 || *e.ProducerSeq != 3 {
		t.Errorf("fields got lost: %+v", e)
	}
	if string(e.Data) != `{"k":"v"}` {
		t.Errorf("data %s", e.Data)
	}
}

func TestMissingFieldsHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	e, refusal := decode(t, wire(t, map[string]any{"event_id": nil}), "")
	if refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
	at, timed := event.IDTime(e.ID)
	if e.ID.Version() != 7 || !timed || !at.Equal(now) {
		t.Errorf("assigned id %v of %v, want a v7 of %v", e.ID, at, now)
	}
	if e.RetentionDays != 2555 || e.ActorID != "" || e.DurationMicros != nil {
		t.Errorf("got %+v", e)
	}
}

func TestRefusedFieldsAreNamed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 101)
	for name, tc := range map[string]struct {
		field  string
		value  any
		reason string
	}{
		"unknown field":                 {"colour", "red", "not a known field"},
		"names are case-sensitive":      {"Version", "1.0", "not a known field"},
		"missing":                       {"correlation_id", nil, "is required"},
		"empty":                         {"event_action", "", "is required"},
		"no string":                     {"event_category", 5, "must be a string"},
		"too long":                      {"event_type", "a." + long, "at most 100 characters"},
		"not dotted":                    {"event_type", "Signal", "dotted"},
		"NUL":                           {"severity", "a\x00", "NUL"},
		"outcome":                       {"event_outcome", "maybe", "success, failure or pending"},
		"id":                            {"event_id", "abc", "UUID"},
		"nil id":                        {"event_id", uuid.Nil.String(), "UUID"},
		"id with braces":                {"event_id", "{" + someID + "}", "36 characters"},
		"timestamp":                     {"event_timestamp", "yesterday", "RFC 3339"},
		"data is no object":             {"event_data", []int{1}, "JSON object"},
		"data is null":                  {"event_data", json.RawMessage("null"), "is required"},
		"data too large":                {"event_data", map[string]string{"k": long}, "larger than 100 bytes"},
		"contradicting inner type":      {"event_data", map[string]string{"event_type": "a.b"}, "contradicts"},
		"inner type that is no string":  {"event_data", map[string]int{"event_type": 1}, "contradicts"},
		"contradicting cluster name":    {"cluster_name", "green", "contradicts"},
		"address":                       {"actor_ip", "localhost", "IPv4 or IPv6"},
		"address with a zone":           {"actor_ip", "fe80::1%eth0", "IPv4 or IPv6"},
		"negative duration":             {"duration_ms", -1, "milliseconds"},
		"retention of no day":           {"retention_days", 0, "from 1"},
		"retention beyond a century":    {"retention_days", 36501, "36500"},
		"boolean":                       {"is_sensitive", "true", "true or false"},
		"fraction of a sequence number": {"producer_seq", 1.5, "whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changes := map[string]any{"cluster_id": "blue"}
			maps.Copy(changes, map[string]any{tc.field: tc.value})
			_, refusal := decode(t, wire(t, changes), "")
			if refusal == nil {
				t.Fatal("not refused")
			}
			if reason := refusal.Fields[tc.field]; !strings.Contains(reason, tc.reason) || len(refusal.Fields) != 1 {
				t.Errorf("fields %v, want %s: %s", refusal.Fields, tc.field, tc.reason)
			}
		})
	}
}

// Clock skew never costs evidence: an event of any time is taken, and one that is
// ahead has its place in lists soon after its receipt.
func TestAnEventKeepsATimeThatIsAhead(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[time.Duration]struct{ place, skew time.Duration }{
		-100 * 365 * 24 * time.Hour:      {-100 * 365 * 24 * time.Hour, 0},
		5 * time.Minute:                  {5 * time.Minute, 0},
		5*time.Minute + time.Microsecond: {5 * time.Minute, 5*time.Minute + time.Microsecond},
		200 * 365 * 24 * time.Hour:       {5 * time.Minute, 200 * 365 * 24 * time.Hour},
	} {
		e, refusal := decode(t, wire(t, map[string]any{"event_timestamp": now.Add(ahead)}), "")
		if refusal != nil {
			t.Fatalf("%v ahead: refused: %v", ahead, refusal)
		}
		if !e.Timestamp.Equal(now.Add(ahead)) || !e.ReceivedAt.Equal(now) {
			t.Errorf("%v ahead: time %v, received %v", ahead, e.Timestamp, e.ReceivedAt)
		}
		if place := e.SortTime().Sub(now); place != want.place || e.ClockSkew() != want.skew {
			t.Errorf("%v ahead: place %v, skew %v, want %+v", ahead, place, e.ClockSkew(), want)
		}
	}
}

func TestASecondIDIsThatOfAReplay(t *testing.T) {
	t.Parallel()
	of := func(changes map[string]any, caller string) *event.Event {
		merged := map[string]any{"event_id": someID}
		maps.Copy(merged, changes)
		e, refusal := decode(t, wire(t, merged), caller)
		if refusal != nil {
			t.Fatalf("refused: %v", refusal)
		}
		return e
	}
	first := of(nil, "gateway")
	second := first.UnderSecondID()
	if got, want := second.ID, of(map[string]any{"event_timestamp": "2025-01-01T00:00:00Z"}, "gateway").SecondID(); got != want {
		t.Errorf("a replay has the second id %v, want %v", want, got)
	}
	if second.ClaimedID != first.ID || second.Commitment == first.Commitment || second.Commitment != second.Parts().Commitment() {
		t.Errorf("got %+v", second)
	}
	claimed, _ := event.IDTime(first.ID)
	if at, timed := event.IDTime(second.ID); !timed || !at.Equal(claimed) {
		t.Errorf("the second id has the time %v, want %v", at, claimed)
	}
	for name, other := range map[string]*event.Event{
		"caller": of(nil, "another"), "content": of(map[string]any{"severity": "low"}, "gateway"),
	} {
		if other.SecondID() == second.ID {
			t.Errorf("another %s has the same second id", name)
		}
	}
	if at, _ := event.IDTime(of(map[string]any{"event_id": "0190163d-8694-439b-aea5-966c26f8ad91"}, "").SecondID()); at.UnixMilli() != 0 {
		t.Errorf("an id without a time has a second id of %v", at)
	}
}

func TestAgreeingInnerTypeIsTaken(t *testing.T) {
	t.Parallel()
	if _, refusal := decode(t, wire(t, map[string]any{"event_data": map[string]string{"event_type": "gateway.signal.received"}}), ""); refusal != nil {
		t.Errorf("refused: %v", refusal)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	of := func(t *testing.T, changes map[string]any, caller string) event.Digest {
		t.Helper()
		merged := map[string]any{"event_id": someID}
		maps.Copy(merged, changes)
		e, refusal := decode(t, wire(t, merged), caller)
		if refusal != nil {
			t.Fatalf("refused: %v", refusal)
		}
		return e.Digest
	}
	base := of(t, nil, "gateway")
	// The form is a promise: rows of earlier versions have digests, too.
	if got, want := hex.EncodeToString(base[:]), "c0593c094e3b07e63ba59fe3790f8452e4b28f9191999466cdef7ab667929c21"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	for name, changes := range map[string]map[string]any{
		"timestamp":     {"event_timestamp": "2025-01-01T00:00:00Z"},
		"duration":      {"duration_ms": 5},
		"producer":      {"producer_id": "x", "producer_epoch": 1, "producer_seq": 2},
		"order in data": {"event_data": json.RawMessage(" { \"k\" : \"\\u0076\" } ")},
		"older name":    {"cluster_name": "", "cluster_id": ""},
	} {
		if of(t, changes, "gateway") != base {
			t.Errorf("%s: another digest, want the same", name)
		}
	}
	for name, changes := range map[string]map[string]any{
		"data": {"event_data": map[string]any{"k": "w"}}, "outcome": {"event_outcome": "failure"}, "actor": {"actor_id": "gateway"},
		"retention": {"retention_days": 2555}, "sensitive": {"is_sensitive": true}, "parent": {"parent_event_id": someID},
		"shifted text": {"event_action": "receive", "event_outcome": "success", "severity": "d"},
	} {
		if of(t, changes, "gateway") == base {
			t.Errorf("%s: the same digest, want another", name)
		}
	}
	if of(t, nil, "somebody else") == base {
		t.Error("another caller: the same digest, want another")
	}
}

func TestUnknownFieldsAreNamedUpToABound(t *testing.T) {
	t.Parallel()
	const named = 20
	for n, want := range map[int]int{named: named, 1000: named + 1} {
		changes := map[string]any{}
		for i := range n {
			changes[fmt.Sprintf("unknown_%d", i)] = 1
		}
		_, refusal := decode(t, wire(t, changes), "")
		if refusal == nil || len(refusal.Fields) != want || (want > named) != strings.Contains(refusal.Fields["event"], "more than 20 unknown fields") {
			t.Errorf("%d unknown fields: want %d complaints", n, want)
		}
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	good := string(wire(t, nil))
	tooDeep := string(wire(t, map[string]any{"event_data": json.RawMessage(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)}))
	for name, tc := range map[string]struct {
		decode   func(*event.Decoder, []byte, string) (event.Batch, error)
		body     string
		events   int
		refused  []int
		err      string
		tooLarge bool
	}{
		"array":                {(*event.Decoder).Array, "[" + good + "," + good + "]", 2, nil, "", false},
		"array with bad ones":  {(*event.Decoder).Array, "[{}," + good + ",7]", 3, []int{0, 2}, "", false},
		"empty array":          {(*event.Decoder).Array, "[]", 0, nil, "no event", false},
		"no array":             {(*event.Decoder).Array, good, 0, nil, "must be a JSON array", false},
		"too many":             {(*event.Decoder).Array, "[1,2,3,4]", 0, nil, "more than 3 events", true},
		"broken":               {(*event.Decoder).Array, "[{]", 0, nil, "line 1, column 3", false},
		"one too deep":         {(*event.Decoder).Array, "[" + good + "," + tooDeep + "," + good + "]", 3, []int{1}, "", false},
		"deep elements":        {(*event.Decoder).Array, "[" + strings.Repeat("[", 99) + strings.Repeat("]", 99) + "]", 1, []int{0}, "", false},
		"lines":                {(*event.Decoder).Lines, good + "\n\n" + good + "\r\n", 2, nil, "", false},
		"a line too deep":      {(*event.Decoder).Lines, good + "\n" + tooDeep, 2, []int{1}, "", false},
		"lines with a bad one": {(*event.Decoder).Lines, good + "\n{\n" + good, 3, []int{1}, "", false},
		"no line":              {(*event.Decoder).Lines, "\n \n", 0, nil, "no event", false},
		"too many lines":       {(*event.Decoder).Lines, "1\n2\n3\n4", 0, nil, "more than 3 events", true},
		"one":                  {(*event.Decoder).One, good, 1, nil, "", false},
		"a deep one":           {(*event.Decoder).One, tooDeep, 0, nil, "nested more than", false},
		"one in an array":      {(*event.Decoder).One, "[" + good + "]", 0, nil, "must be one event", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch, err := tc.decode(newDecoder(), []byte(tc.body), "")
			if tc.err != "" {
				var body *event.BodyError
				if !errors.As(err, &body) || !strings.Contains(body.Detail, tc.err) || body.TooLarge != tc.tooLarge {
					t.Errorf("got %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil || len(batch.Events) != tc.events || len(batch.Refusals) != len(tc.refused) {
				t.Fatalf("got %d events, %v, %v", len(batch.Events), batch.Refusals, err)
			}
			for i, index := range tc.refused {
				if batch.Refusals[i].Index != index || batch.Events[index] != nil {
					t.Errorf("refusal %d is of %d, want %d", i, batch.Refusals[i].Index, index)
				}
			}
		})
	}
}

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	const body = `[{"specversion":"1.0","id":"` + someID + `","source":"//gateway/0","type":"gateway.signal.received","time":"2026-01-02T03:04:05Z",
		"subject":"rr-1","datacontenttype":"application/json; charset=utf-8","data":{"k":"v"},"eventcategory":"gateway","eventaction":"received",
		"eventoutcome":"success","durationms":"1.5","issensitive":"true","producerseq":7},
		{"specversion":"0.3","source":"x","data_base64":"AA==","type":"Bad","traceparent":"00"}]`
	batch, err := newDecoder().CloudEvents([]byte(body), "caller")
	if err != nil {
		t.Fatal(err)
	}
	e := batch.Events[0]
	if e == nil {
		t.Fatalf("refused: %v", batch.Refusals)
	}
	if e.ID.String() != someID || e.CorrelationID != "rr-1" || e.ActorID != "//gateway/0" || e.RecordedBy != "caller" || e.Version != "1.0" ||
		*e.DurationMicros != 1500 || !e.Sensitive || *e.ProducerSeq != 7 {
		t.Errorf("got %+v", e)
	}
	fields := batch.Refusals[0].Fields
	for _, name := range []string{"specversion", "id", "data_base64", "traceparent", "type", "time", "subject", "data", "eventcategory", "eventaction", "eventoutcome"} {
		if fields[name] == "" {
			t.Errorf("%s is not named in %v", name, fields)
		}
	}
}

func TestAFormKnowsItsOwnFieldsOnly(t *testing.T) {
	t.Parallel()
	cloud := `[{"specversion":"1.0","id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"s","type":"a.b","time":"2026-01-02T03:04:05Z",
		"subject":"rr-1","eventversion":"1.0","eventcategory":"c","eventaction":"a","eventoutcome":"success","data":{}}]`
	decoder := newDecoder()
	for range 3 { // what one form left behind is no hint for the other
		if batch, err := decoder.CloudEvents([]byte(cloud), "caller"); err != nil || len(batch.Refusals) > 0 {
			t.Fatal(err, batch.Refusals)
		}
		batch, err := decoder.One([]byte(`{"specversion":"1.0","id":"x"}`), "caller")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"specversion", "id"} {
			if reason := batch.Refusals[0].Fields[name]; reason != "is not a known field" {
				t.Errorf("%s: %q, want that it is unknown", name, reason)
			}
		}
	}
}

func TestRefusedDataCostNoMemoryForTheirCanonicalForm(t *testing.T) { //nolint:paralleltest // others allocate, too
	const lineFeeds = 400_000 // each takes two bytes as sent, and six in canonical form
	body := wire(t, map[string]any{"event_data": map[string]any{"text": strings.Repeat("\n", lineFeeds)}})
	decoder := newDecoder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	batch, err := decoder.One(body, "")
	runtime.ReadMemStats(&after)
	if err != nil || batch.Refusals[0].Code != event.CodeTooLarge {
		t.Fatal(err, batch.Refusals)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > lineFeeds {
		t.Errorf("%d bytes were allocated for an event of %d that is refused", allocated, len(body))
	}
}

func TestIDTime(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		someID:                                 "2024-06-14T10:14:09.3Z",
		"0190163d-8694-839b-8ea5-966c26f8ad91": "2024-06-14T10:14:09.3Z",
		"ffffffff-ffff-7fff-bfff-ffffffffffff": "+10889-08-02T05:31:50.655Z",
		"0190163d-8694-739b-cea5-966c26f8ad91": "",
		"0190163d-8694-439b-aea5-966c26f8ad91": "",
		"0190163d-8694-139b-aea5-966c26f8ad91": "",
	} {
		at, timed := event.IDTime(uuid.MustParse(id))
		got := ""
		if timed {
			got = at.Format("2006-01-02T15:04:05.999Z")
			if at.Year() > 9999 {
				got = "+" + got
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

func TestRetentionIsWhatTheWriterAsksForOrTheOperatorSets(t *testing.T) {
	t.Parallel()
	limits := event.DefaultLimits()
	limits.Retention = event.Retention{Default: 400, Categories: map[string]int32{"debug": 7, "finance": 5000}}
	decoder := event.NewDecoder(limits, testclock.NewFakePassiveClock(now), zeros{})
	for what, c := range map[string]struct {
		changes map[string]any
		want    int32
	}{
		"nothing":                           {nil, 400},
		"nothing in a category":             {map[string]any{"event_category": "debug"}, 7},
		"something":                         {map[string]any{"retention_days": 30}, 30},
		"something in a category":           {map[string]any{"event_category": "debug", "retention_days": 30}, 30},
		"the most":                          {map[string]any{"retention_days": 3650}, 3650},
		"too much":                          {map[string]any{"retention_days": 3651}, 3650},
		"a century":                         {map[string]any{"retention_days": 36500}, 3650},
		"what the operator gives unasked":   {map[string]any{"event_category": "finance", "retention_days": 5000}, 5000},
		"more than the operator has to say": {map[string]any{"event_category": "finance", "retention_days": 6000}, 5000},
	} {
		batch, err := decoder.One(wire(t, c.changes), "")
		if err != nil || len(batch.Refusals) > 0 {
			t.Fatalf("%s: %v %v", what, err, batch.Refusals)
		}
		if got := batch.Events[0].RetentionDays; got != c.want {
			t.Errorf("asking for %s: got %d days, want %d", what, got, c.want)
		}
	}
}

func TestAReplayAsksForTheSameRetention(t *testing.T) {
	t.Parallel()
	of := func(days int32) event.Digest {
		limits := event.DefaultLimits()
		limits.Retention.Default = days
		batch, err := event.NewDecoder(limits, testclock.NewFakePassiveClock(now), zeros{}).One(wire(t, map[string]any{"event_id": someID}), "")
		if err != nil || len(batch.Refusals) > 0 {
			t.Fatal(err, batch.Refusals)
		}
		return batch.Events[0].Digest
	}
	if of(30) != of(60) {
		t.Error("an event is another one after the operator has changed the retention")
	}
}
