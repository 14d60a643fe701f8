package trail_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/trail"
)

// source answers its queries with one list after the other, the last one for ever.
type source struct{ answers [][]datastorage.StoredEvent }

func (s *source) Query(_ context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error] {
	events := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return func(yield func(datastorage.StoredEvent, error) bool) {
		for _, e := range events {
			if params.CorrelationId != nil && *params.CorrelationId == e.CorrelationId && !yield(e, nil) {
				return
			}
		}
	}
}

func event(n byte, eventType, data string) datastorage.StoredEvent {
	by := "system:serviceaccount:kubernaut-system:gateway"
	return datastorage.StoredEvent{
		EventId: uuid.UUID{15: n}, EventType: eventType, EventData: json.RawMessage(data), CorrelationId: "rr-1", RecordedBy: &by,
		EventTimestamp: time.Date(2026, 11, 23, 12, 0, 0, int(n)*1e6, time.UTC), EventOutcome: datastorage.Success,
	}
}

var (
	received = event(1, "gateway.signal.received", `{"signal_name":"Down|<b>","severity":"high"}`)
	done     = event(2, "remediation.request.completed", `{"reason":"Effective"}`)
)

func printed(t *testing.T, form string, events ...datastorage.StoredEvent) string {
	t.Helper()
	var out strings.Builder
	if err := trail.Print(t.Context(), &source{[][]datastorage.StoredEvent{events}}, "rr-1", form, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPrintTable(t *testing.T) {
	t.Parallel()
	forged := event(3, "remediation.approval.approved", `{}`)
	forged.Foreign = true
	text := printed(t, trail.Table, received, forged, done)
	for _, want := range []string{
		"2026-11-23 12:00:00.001  gateway.signal.received", "Signal Down|<b> of severity high arrived.", "The request is completed (Effective).",
		"system:serviceaccount:kubernaut-system:gateway", "Not a part of it",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, "remediation.approval.approved") < strings.Index(text, "Not a part of it") {
		t.Errorf("a forged approval is told as a part of the story:\n%s", text)
	}
	var told strings.Builder
	if err := trail.Tell([]datastorage.StoredEvent{received, forged, done}, &told); err != nil || told.String() != text {
		t.Errorf("a trail that was read is told as\n%s%v, want\n%s", told.String(), err, text)
	}
}

func TestPrintMarkdownEscapes(t *testing.T) {
	t.Parallel()
	text := printed(t, trail.Markdown, received)
	if !strings.Contains(text, `Signal Down\|&lt;b&gt; of severity high arrived.`) {
		t.Error(text)
	}
}

func TestPrintObjects(t *testing.T) {
	t.Parallel()
	for form, decode := range map[string]func([]byte, any) error{
		trail.JSON: json.Unmarshal,
		trail.YAML: func(text []byte, to any) error { return yaml.Unmarshal(text, to) },
	} {
		var events []datastorage.StoredEvent
		if err := decode([]byte(printed(t, form, received, done)), &events); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if len(events) != 2 || events[1].EventType != done.EventType || !strings.Contains(string(events[1].EventData), "Effective") {
			t.Errorf("%s: %v", form, events)
		}
	}
}

func TestATrailWithoutEventsIsAnError(t *testing.T) {
	t.Parallel()
	for _, form := range []string{trail.Table, trail.JSON, trail.YAML, trail.Markdown} {
		var out strings.Builder
		err := trail.Print(t.Context(), &source{make([][]datastorage.StoredEvent, 1)}, "rr-1", form, &out)
		if !errors.Is(err, trail.ErrEmpty) || out.String() != "" {
			t.Errorf("%s: %v, printed %q", form, err, out.String())
		}
	}
}

func TestFollowPrintsEachEventOnceUntilTheRequestHasEnded(t *testing.T) {
	t.Parallel()
	forged := event(4, done.EventType, `{}`)
	forged.Foreign = true
	from := &source{[][]datastorage.StoredEvent{nil, {received, forged}, {received, forged}, {received, forged, done}}}
	var out strings.Builder
	if err := trail.Follow(t.Context(), from, "rr-1", time.Millisecond, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), received.EventType) != 1 || strings.Count(out.String(), "(Effective)") != 1 {
		t.Error(out.String())
	}
}
