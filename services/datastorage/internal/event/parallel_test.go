package event_test

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/event"
)

// someEvent is an event with data of a size; a broken one lacks what is required.
func someEvent(n, size int, broken bool) string {
	category := `"event_category":"gateway",`
	if broken {
		category = ""
	}
	return fmt.Sprintf(`{"version":"1.0","event_type":"gateway.signal.received","event_timestamp":"2026-01-02T03:04:05Z",%s`+
		`"event_action":"received","event_outcome":"success","correlation_id":"rr-%d","event_id":"0190163d-8694-739b-aea5-%012x",`+
		`"actor_id":"gateway-%d","event_data":{"text":"%s"}}`, category, n, n+1, n, strings.Repeat("x", size))
}

func onCores(t *testing.T, n int) {
	t.Helper()
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// TestEventsOfABatchAreDecodedAsIfTheyWereAlone on several cores and together with others.
//
//nolint:paralleltest // it sets GOMAXPROCS
func TestEventsOfABatchAreDecodedAsIfTheyWereAlone(t *testing.T) {
	onCores(t, 4)
	now := time.Date(2026, time.January, 2, 3, 4, 6, 0, time.UTC)
	decoder := event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(now), zeros{})
	for _, count := range []int{1, 2, 15, 16, 17, 127, 128, 129, 1000} {
		lines, elements := make([]string, 0, 2*count), make([]string, 0, count)
		var want event.Batch
		for n := range count {
			text := someEvent(n, 1<<(n%16), n%50 == 13)
			lines, elements = append(lines, "", text), append(elements, text)
			one, err := decoder.One([]byte(text), "caller")
			if err != nil {
				t.Fatal(err)
			}
			want.Events = append(want.Events, one.Events[0])
			for _, r := range one.Refusals {
				r.Index = n
				want.Refusals = append(want.Refusals, r)
			}
			if e := one.Events[0]; e != nil && e.Commitment != e.Parts().Commitment() {
				t.Fatalf("event %d has another commitment than its parts", n)
			}
		}
		got, err := decoder.Lines([]byte(strings.Join(lines, "\n")), "caller")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d lines are decoded to other events: %v", count, err)
		}
		got, err = decoder.Array([]byte("["+strings.Join(elements, ",")+"]"), "caller")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("an array of %d is decoded to other events: %v", count, err)
		}
	}
}

// TestARefusalNamesTheLineWhicheverCoreReadIt on several cores.
//
//nolint:paralleltest // it sets GOMAXPROCS
func TestARefusalNamesTheLineWhicheverCoreReadIt(t *testing.T) {
	onCores(t, 4)
	decoder := event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(time.Now()), zeros{})
	const count, bad = 600, 577
	var body bytes.Buffer
	for n := range count {
		if n == bad {
			body.WriteString("{]\n")
			continue
		}
		body.WriteString(someEvent(n, 1, false) + "\n")
	}
	got, err := decoder.Lines(body.Bytes(), "caller")
	if err != nil || len(got.Events) != count || len(got.Refusals) != 1 {
		t.Fatalf("%d events, refused %v: %v", len(got.Events), got.Refusals, err)
	}
	if r := got.Refusals[0]; r.Index != bad || !strings.Contains(r.Detail, fmt.Sprintf("line %d,", bad+1)) {
		t.Errorf("refused %+v, want the event at %d", r, bad)
	}
}

// panics is a source of random numbers that panics on the goroutine that reads it.
type panics struct{}

func (panics) Read([]byte) (int, error) { panic("no random numbers") }

// TestAPanicReachesTheGoroutineThatDecodes so that one request does not end the process.
//
//nolint:paralleltest // it sets GOMAXPROCS
func TestAPanicReachesTheGoroutineThatDecodes(t *testing.T) {
	onCores(t, 4)
	decoder := event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(time.Now()), panics{})
	body := strings.Repeat(someEvent(1, 1, false)+"\n", 600)
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "no random numbers") {
			t.Errorf("recovered %v, want the panic", r)
		}
	}()
	_, err := decoder.Lines([]byte(body), "caller")
	t.Errorf("returned %v, want a panic", err)
}
