package trailtest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail/trailtest"
)

// trailOf makes a trail of these types, a microsecond apart.
func trailOf(correlationID string, eventTypes ...string) []audit.Event {
	events := make([]audit.Event, len(eventTypes))
	for i, eventType := range eventTypes {
		events[i] = *audittest.NewEvent(eventType, correlationID)
		events[i].Timestamp = audittest.Epoch().Add(time.Duration(i) * time.Microsecond)
		events[i].ID = uuid.UUID{15: byte(i + 1)}
	}
	return events
}

// stored is the same trail as a query returns it.
func stored(events []audit.Event) []datastorage.StoredEvent {
	trail := make([]datastorage.StoredEvent, len(events))
	for i := range events {
		e := &events[i]
		trail[i] = datastorage.StoredEvent{
			EventId: e.ID, EventType: e.Type, EventTimestamp: e.Timestamp, EventCategory: e.Category, EventAction: e.Action,
			EventOutcome: datastorage.EventOutcome(e.Outcome), CorrelationId: e.CorrelationID, EventData: e.Data,
			Severity: new(e.Severity), ActorId: new(e.ActorID), ErrorCode: new(e.ErrorCode), RecordedBy: new("system:serviceaccount:shop:clerk"),
		}
	}
	return trail
}

// kind is a string type, as Kubernetes types have them.
type kind string

// namedTrail is a slice type of a caller.
type namedTrail []datastorage.StoredEvent

func TestHaveAudited(t *testing.T) {
	t.Parallel()
	recorded := trailOf("rr-1", "gateway.crd.created", "gateway.signal.received")
	recorded[1].Severity, recorded[1].ActorID, recorded[1].ErrorCode = "critical", "alice", "E1"
	recorded[1].Data = []byte(`{"target":{"kind":"Pod"},"count":2}`)
	for name, events := range map[string]any{
		"recorded": recorded, "stored": stored(recorded), "a named slice type": namedTrail(stored(recorded)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			g.Expect(events).To(trailtest.HaveAudited("gateway.signal.received",
				trailtest.WithCorrelationID("rr-1"),
				trailtest.WithOutcome(audit.OutcomeSuccess),
				trailtest.WithOutcome(datastorage.Success),
				trailtest.WithOutcome("success"),
				trailtest.WithCategory("test"),
				trailtest.WithAction(HavePrefix("te")),
				trailtest.WithSeverity("critical"),
				trailtest.WithActorID("alice"),
				trailtest.WithErrorCode("E1"),
				trailtest.WithData("target.kind", "Pod"),
				trailtest.WithData("count", 2),
				trailtest.WithData("count", BeNumerically(">", 1)),
				trailtest.WithData("target.kind", kind("Pod")),
				trailtest.WithData("target.name", nil),
				trailtest.WithData("count.unit", nil),
				trailtest.With("namespace", func(e *audit.Event) any { return e.Namespace }, ""),
			))
			g.Expect(events).NotTo(trailtest.HaveAudited("gateway.signal.rejected"))
			g.Expect(events).NotTo(trailtest.HaveAudited("gateway.crd.created", trailtest.WithSeverity("critical")))
		})
	}
	g := NewWithT(t)
	recorded[0].Data = []byte(`{"count":2.5}`)
	g.Expect(recorded).NotTo(trailtest.HaveAudited("gateway.crd.created", trailtest.WithData("count", 2)))
	g.Expect(stored(recorded)).To(trailtest.HaveAudited("gateway.signal.received",
		HaveField("RecordedBy", HaveValue(Equal("system:serviceaccount:shop:clerk")))), "any matcher of the caller's event")
	g.Expect([]audit.Event(nil)).NotTo(trailtest.HaveAudited("gateway.signal.received"))
	g.Expect([]datastorage.StoredEvent(nil)).NotTo(trailtest.HaveAudited("gateway.signal.received"))
}

func TestHaveAuditedTimes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	events := trailOf("rr-1", "a.b.c", "d.e.f", "a.b.c")
	events[2].Severity = "low"
	g.Expect(events).To(trailtest.HaveAuditedTimes(2, "a.b.c"))
	g.Expect(events).To(trailtest.HaveAuditedTimes(1, "a.b.c", trailtest.WithSeverity("low")))
	g.Expect(events).To(trailtest.HaveAuditedTimes(0, "g.h.i"))
	g.Expect(events).NotTo(trailtest.HaveAuditedTimes(1, "a.b.c"))
	g.Expect(events).NotTo(trailtest.HaveAuditedTimes(3, "a.b.c"))
}

func TestHaveAuditedInOrder(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	events := trailOf("rr-1", "a.b.c", "d.e.f", "a.b.c", "g.h.i")
	g.Expect(events).To(trailtest.HaveAuditedInOrder("a.b.c"))
	g.Expect(events).To(trailtest.HaveAuditedInOrder("a.b.c", "g.h.i"))
	g.Expect(events).To(trailtest.HaveAuditedInOrder("a.b.c", "d.e.f", "a.b.c", "g.h.i"))
	g.Expect(stored(events)).To(trailtest.HaveAuditedInOrder("d.e.f", "a.b.c"))
	g.Expect(events).NotTo(trailtest.HaveAuditedInOrder("g.h.i", "a.b.c"))
	g.Expect(events).NotTo(trailtest.HaveAuditedInOrder("d.e.f", "d.e.f"))
	g.Expect([]audit.Event(nil)).NotTo(trailtest.HaveAuditedInOrder("a.b.c"))
}

// phases is a trail of transitions, which differ in their data alone.
func phases(to ...string) []audit.Event {
	events := trailOf("w-1", slices.Repeat([]string{"widget.phase.transition"}, len(to))...)
	for i := range to {
		events[i].Data = json.RawMessage(`{"phase":{"to":"` + to[i] + `"}}`)
	}
	return events
}

func transition(to any) types.GomegaMatcher {
	return trailtest.BeEvent("widget.phase.transition", trailtest.WithData("phase.to", to))
}

func TestHaveAuditedInOrderTellsEventsOfOneTypeApart(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	events := phases("Pending", "Building", "Ready", "Building")
	g.Expect(events).To(trailtest.HaveAuditedInOrder(transition("Pending"), transition("Building"), transition("Ready")))
	g.Expect(events).To(trailtest.HaveAuditedInOrder("widget.phase.transition", transition("Ready"), transition("Building")))
	g.Expect(stored(events)).To(trailtest.HaveAuditedInOrder(transition("Building"), transition("Building")))
	g.Expect(events).NotTo(trailtest.HaveAuditedInOrder(transition("Ready"), transition("Pending")))
	g.Expect(events).NotTo(trailtest.HaveAuditedInOrder(transition("Ready"), transition("Ready")))
}

func TestBeEventMatchesOneEvent(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	events := phases("Pending", "Ready")
	g.Expect(events[0]).To(transition("Pending"))
	g.Expect(&events[0]).To(transition(HavePrefix("Pend")))
	g.Expect(stored(events)[1]).To(transition("Ready"))
	g.Expect(&stored(events)[1]).To(trailtest.WithData("phase.to", "Ready"))
	g.Expect(events[0]).NotTo(transition("Ready"))
	g.Expect(events[0]).NotTo(trailtest.BeEvent("widget.phase.started"))
	g.Expect(events).To(ConsistOf(transition("Ready"), transition("Pending")))
}

// Failure messages, to the letter.
func TestFailureMessages(t *testing.T) {
	t.Parallel()
	trail := trailOf("rr-1", "gateway.signal.received", "gateway.crd.created", "gateway.signal.received")
	trail[0].Category, trail[1].Data = "gateway", nil
	trail[2].Category, trail[2].Severity = "gateway", "critical"
	const listed = `trail of 3 events of rr-1:
    1  03:04:05.000000  gateway.signal.received  success  00000000-0000-0000-0000-000000000001  {"test":true}
    2  03:04:05.000001  gateway.crd.created      success  00000000-0000-0000-0000-000000000002
    3  03:04:05.000002  gateway.signal.received  success  00000000-0000-0000-0000-000000000003  {"test":true}`
	const transitions = `trail of 2 events of w-1:
    1  03:04:05.000000  widget.phase.transition  success  00000000-0000-0000-0000-000000000001  {"phase":{"to":"Pending"}}
    2  03:04:05.000001  widget.phase.transition  success  00000000-0000-0000-0000-000000000002  {"phase":{"to":"Ready"}}`
	for name, test := range map[string]struct {
		matcher types.GomegaMatcher
		events  []audit.Event
		want    string
	}{
		"nearest miss": {
			trailtest.HaveAudited("gateway.signal.received", trailtest.WithSeverity("critical"), trailtest.WithCategory("gate")),
			trail, `no event gateway.signal.received with these fields
event 3 comes nearest:
    category: Expected
        <string>: gateway
    to be equivalent to
        <string>: gate
` + listed,
		},
		"no such type": {
			trailtest.HaveAudited("gateway.signal.recieved", trailtest.WithSeverity("low")), trail,
			"no event gateway.signal.recieved with these fields\n" + listed,
		},
		"empty trail": {
			trailtest.HaveAudited("gateway.signal.received"), nil,
			"no event gateway.signal.received\nthe trail is empty: was the store flushed before the trail was read?",
		},
		"too many": {
			trailtest.HaveAuditedTimes(1, "gateway.signal.received"), trail,
			"want 1, found 2 times gateway.signal.received: events 1, 3\n" + listed,
		},
		"too few": {
			trailtest.HaveAuditedTimes(2, "gateway.signal.received", trailtest.WithSeverity("critical")), trail,
			`want 2, found 1 times gateway.signal.received with these fields: event 3
event 1 comes nearest:
    severity: Expected
        <string>: 
    to be equivalent to
        <string>: critical
` + listed,
		},
		"first is missing": {
			trailtest.HaveAuditedInOrder("gateway.signal.deduplicated", "gateway.crd.created"), trail,
			"no event gateway.signal.deduplicated, which is to be the first\n" + listed,
		},
		"missing behind": {
			trailtest.HaveAuditedInOrder("gateway.crd.created", "gateway.crd.updated"), trail,
			"no event gateway.crd.updated after event 2, gateway.crd.created\n" + listed,
		},
		"too early": {
			trailtest.HaveAuditedInOrder("gateway.crd.created", "gateway.signal.received", "gateway.crd.created"), trail,
			"no event gateway.crd.created after event 3, gateway.signal.received; it is there earlier: event 2\n" + listed,
		},
		"only once": {
			trailtest.HaveAuditedInOrder("gateway.crd.created", "gateway.crd.created"), trail,
			"no event gateway.crd.created after event 2, gateway.crd.created\n" + listed,
		},
		"other data": {
			trailtest.HaveAuditedInOrder(transition("Pending"), transition("Building")), phases("Pending", "Ready"),
			`no event widget.phase.transition with these fields after event 1, widget.phase.transition
event 2 comes nearest:
    data phase.to: Expected
        <string>: Ready
    to be equivalent to
        <string>: Building
` + transitions,
		},
		"several trails": {
			trailtest.HaveAudited("d.e.f"), append(trailOf("rr-1", "a.b.c"), trailOf("rr-22", "g.h.i.j")...), `no event d.e.f
trail of 2 events:
    1  03:04:05.000000  a.b.c    success  00000000-0000-0000-0000-000000000001  rr-1  {"test":true}
    2  03:04:05.000000  g.h.i.j  success  00000000-0000-0000-0000-000000000001  rr-22  {"test":true}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, actual := range []any{test.events, stored(test.events)} {
				ok, err := test.matcher.Match(actual)
				if ok || err != nil {
					t.Errorf("match %T: %v, %v, want false", actual, ok, err)
				}
				if message := test.matcher.FailureMessage(actual); message != test.want {
					t.Errorf("message for %T\n%s\nwant\n%s", actual, message, test.want)
				}
			}
		})
	}
}

func TestNegatedFailureMessages(t *testing.T) {
	t.Parallel()
	events := trailOf("rr-1", "a.b.c")
	const listed = "\ntrail of 1 event of rr-1:\n    1  03:04:05.000000  a.b.c  success  00000000-0000-0000-0000-000000000001  {\"test\":true}"
	for want, matcher := range map[string]types.GomegaMatcher{
		"not wanted: a.b.c: event 1" + listed:         trailtest.HaveAudited("a.b.c"),
		"not wanted: 1 times a.b.c: event 1" + listed: trailtest.HaveAuditedTimes(1, "a.b.c"),
		"not wanted: in this order: event 1" + listed: trailtest.HaveAuditedInOrder("a.b.c"),
	} {
		if ok, err := matcher.Match(events); !ok || err != nil {
			t.Errorf("match: %v, %v, want true", ok, err)
		}
		if message := matcher.NegatedFailureMessage(events); message != want {
			t.Errorf("message\n%s\nwant\n%s", message, want)
		}
	}
	matcher := trailtest.BeEvent("a.b.c", trailtest.WithSeverity(""))
	if message := matcher.NegatedFailureMessage(events[0]); message != "not wanted: a.b.c with these fields"+listed {
		t.Errorf("message\n%s", message)
	}
	matcher = trailtest.BeEvent("a.b.c", trailtest.WithSeverity("low"))
	const want = `want event a.b.c with these fields
    severity: Expected
        <string>: 
    to be equivalent to
        <string>: low`
	if message := matcher.FailureMessage(events[0]); message != want+listed {
		t.Errorf("message\n%s\nwant\n%s", message, want+listed)
	}
}

// A message stays readable, and shows nothing that diagnostics may not show.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	matcher := trailtest.HaveAudited("d.e.f")
	message := func(events []audit.Event) string {
		t.Helper()
		if _, err := matcher.Match(events); err != nil {
			t.Fatal(err)
		}
		return matcher.FailureMessage(events)
	}
	if text := message(make([]audit.Event, 1000)); strings.Count(text, "\n") > 60 || !strings.HasSuffix(text, "\n    and 950 more") {
		t.Errorf("message of %d lines:\n%s", strings.Count(text, "\n"), text)
	}
	events := trailOf("rr-1", "a.b.c", "a.b.c")
	events[0].Data = []byte("{\n  \"note\": \"" + strings.Repeat("é", 1000) + "\"}")
	events[1].Data, events[1].Sensitive = []byte(`{"password":"swordfish"}`), true
	text := message(events)
	if !strings.Contains(text, `{ "note": "éé`) || !strings.Contains(text, "é... (2015 bytes)\n") || len(text) > 600 {
		t.Errorf("message of %d bytes:\n%s", len(text), text)
	}
	if strings.Contains(text, "swordfish") || !strings.Contains(text, "(sensitive data)") {
		t.Errorf("message shows sensitive data:\n%s", text)
	}
}

// A matcher that cannot judge an event is the test's mistake, unless another event matches.
func TestMistakesAreErrors(t *testing.T) {
	t.Parallel()
	events := trailOf("rr-1", "a.b.c", "a.b.c")
	events[1].Data = []byte(`{"count":2}`)
	for want, matcher := range map[bool]types.GomegaMatcher{
		true:  trailtest.HaveAudited("a.b.c", trailtest.WithData("count", BeNumerically("==", 2))),
		false: trailtest.HaveAudited("a.b.c", trailtest.WithData("count", BeNumerically("==", 3))),
	} {
		if ok, err := matcher.Match(events); ok != want || (err == nil) != want {
			t.Errorf("match: %v, %v, want %v", ok, err, want)
		}
	}
	events[0].Data = []byte(`{`)
	for name, test := range map[string]struct {
		matcher types.GomegaMatcher
		actual  any
		err     string
	}{
		"not a list":      {trailtest.HaveAudited("a.b.c"), "no events", "want a []audit.Event"},
		"nil":             {trailtest.HaveAudited("a.b.c"), nil, "want a []audit.Event"},
		"other list":      {trailtest.HaveAudited("a.b.c"), []string{}, "want a []audit.Event"},
		"not an event":    {trailtest.WithData("to", "Ready"), events, "want an audit.Event"},
		"nil event":       {trailtest.BeEvent("a.b.c"), (*audit.Event)(nil), "want an audit.Event"},
		"no steps":        {trailtest.HaveAuditedInOrder(), events, "at least one event type"},
		"not a step":      {trailtest.HaveAuditedInOrder("a.b.c", 7), events, "got int"},
		"data not a JSON": {trailtest.BeEvent("a.b.c", trailtest.WithData("to", "Ready")), events[0], "data to: event data:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if ok, err := test.matcher.Match(test.actual); ok || err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("match: %v, %v, want an error that says %q", ok, err, test.err)
			}
		})
	}
}
