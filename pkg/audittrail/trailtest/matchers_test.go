package audittest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
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

func TestHaveAudited(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	events := trailOf("rr-1", "gateway.crd.created", "gateway.signal.received")
	events[1].Severity = "critical"
	events[1].Data = []byte(`{"target":{"kind":"Pod"},"count":2}`)

	g.Expect(events).To(audittest.HaveAudited("gateway.signal.received",
		audittest.WithCorrelationID("rr-1"),
		audittest.WithOutcome(audit.OutcomeSuccess),
		audittest.WithOutcome("success"),
		audittest.WithCategory("test"),
		audittest.WithAction(gomega.HavePrefix("te")),
		audittest.WithSeverity("critical"),
		audittest.WithData("target.kind", "Pod"),
		audittest.WithData("count", gomega.BeNumerically(">", 1)),
		audittest.WithData("target.name", nil),
		audittest.With("namespace", func(e *audit.Event) any { return e.Namespace }, ""),
	))
	g.Expect(events).NotTo(audittest.HaveAudited("gateway.signal.rejected"))
	g.Expect([]audit.Event(nil)).NotTo(audittest.HaveAudited("gateway.signal.received"))
}

func TestHaveAuditedTimes(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	events := trailOf("rr-1", "a.b.c", "d.e.f", "a.b.c")
	events[2].Severity = "low"
	g.Expect(events).To(audittest.HaveAuditedTimes(2, "a.b.c"))
	g.Expect(events).To(audittest.HaveAuditedTimes(1, "a.b.c", audittest.WithSeverity("low")))
	g.Expect(events).To(audittest.HaveAuditedTimes(0, "g.h.i"))
	g.Expect(events).NotTo(audittest.HaveAuditedTimes(1, "a.b.c"))
	g.Expect(events).NotTo(audittest.HaveAuditedTimes(3, "a.b.c"))
}

func TestHaveAuditedInOrder(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	events := trailOf("rr-1", "a.b.c", "d.e.f", "a.b.c", "g.h.i")
	g.Expect(events).To(audittest.HaveAuditedInOrder("a.b.c"))
	g.Expect(events).To(audittest.HaveAuditedInOrder("a.b.c", "g.h.i"))
	g.Expect(events).To(audittest.HaveAuditedInOrder("a.b.c", "d.e.f", "a.b.c", "g.h.i"))
	g.Expect(events).To(audittest.HaveAuditedInOrder("d.e.f", "a.b.c"))
	g.Expect(events).NotTo(audittest.HaveAuditedInOrder("g.h.i", "a.b.c"))
	g.Expect(events).NotTo(audittest.HaveAuditedInOrder("d.e.f", "d.e.f"))
	g.Expect([]audit.Event(nil)).NotTo(audittest.HaveAuditedInOrder("a.b.c"))
}

// What a failed matcher says, to the letter.
func TestMatchersSayWhatIsThere(t *testing.T) {
	t.Parallel()
	trail := trailOf("rr-1", "gateway.signal.received", "gateway.crd.created", "gateway.signal.received")
	trail[0].Category = "gateway"
	trail[2].Category, trail[2].Severity = "gateway", "critical"
	const listed = `trail of 3 events of rr-1:
    1  03:04:05.000000  gateway.signal.received  success  00000000-0000-0000-0000-000000000001
    2  03:04:05.000001  gateway.crd.created      success  00000000-0000-0000-0000-000000000002
    3  03:04:05.000002  gateway.signal.received  success  00000000-0000-0000-0000-000000000003`
	for name, test := range map[string]struct {
		matcher gomegatypes.GomegaMatcher
		events  []audit.Event
		want    string
	}{
		"nearest miss": {
			audittest.HaveAudited("gateway.signal.received", audittest.WithSeverity("critical"), audittest.WithCategory("gate")),
			trail, `no event gateway.signal.received with these fields
event 3 comes nearest:
    category: Expected
        <string>: gateway
    to be equivalent to
        <string>: gate
` + listed,
		},
		"no such type": {
			audittest.HaveAudited("gateway.signal.recieved", audittest.WithSeverity("low")), trail,
			"no event gateway.signal.recieved with these fields\n" + listed,
		},
		"empty trail": {audittest.HaveAudited("gateway.signal.received"), nil, "no event gateway.signal.received\nthe trail is empty"},
		"too many": {
			audittest.HaveAuditedTimes(1, "gateway.signal.received"), trail,
			"want 1, found 2 times gateway.signal.received: events 1, 3\n" + listed,
		},
		"too few": {
			audittest.HaveAuditedTimes(2, "gateway.signal.received", audittest.WithSeverity("critical")), trail,
			`want 2, found 1 times gateway.signal.received with these fields: event 3
event 1 comes nearest:
    severity: Expected
        <string>: 
    to be equivalent to
        <string>: critical
` + listed,
		},
		"first is missing": {
			audittest.HaveAuditedInOrder("gateway.signal.folded", "gateway.crd.created"), trail,
			"no event gateway.signal.folded, which is to be the first\n" + listed,
		},
		"missing behind": {
			audittest.HaveAuditedInOrder("gateway.crd.created", "gateway.crd.updated"), trail,
			"no event gateway.crd.updated after event 2, gateway.crd.created\n" + listed,
		},
		"too early": {
			audittest.HaveAuditedInOrder("gateway.crd.created", "gateway.signal.received", "gateway.crd.created"), trail,
			"no event gateway.crd.created after event 3, gateway.signal.received; it is there earlier: event 2\n" + listed,
		},
		"only once": {
			audittest.HaveAuditedInOrder("gateway.crd.created", "gateway.crd.created"), trail,
			"no event gateway.crd.created after event 2, gateway.crd.created\n" + listed,
		},
		"several trails": {
			audittest.HaveAudited("d.e.f"), append(trailOf("rr-1", "a.b.c"), trailOf("rr-22", "g.h.i.j")...), `no event d.e.f
trail of 2 events:
    1  03:04:05.000000  a.b.c    success  00000000-0000-0000-0000-000000000001  rr-1
    2  03:04:05.000000  g.h.i.j  success  00000000-0000-0000-0000-000000000001  rr-22`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ok, err := test.matcher.Match(test.events)
			if ok || err != nil {
				t.Errorf("match: %v, %v, want false", ok, err)
			}
			if message := test.matcher.FailureMessage(test.events); message != test.want {
				t.Errorf("message\n%s\nwant\n%s", message, test.want)
			}
		})
	}
}

func TestMatchersSayWhatIsNotWanted(t *testing.T) {
	t.Parallel()
	events := trailOf("rr-1", "a.b.c")
	const listed = "\ntrail of 1 events of rr-1:\n    1  03:04:05.000000  a.b.c  success  00000000-0000-0000-0000-000000000001"
	for want, matcher := range map[string]gomegatypes.GomegaMatcher{
		"not wanted: a.b.c: event 1" + listed:               audittest.HaveAudited("a.b.c"),
		"not wanted: 1 times a.b.c: event 1" + listed:       audittest.HaveAuditedTimes(1, "a.b.c"),
		"not wanted: types in this order: event 1" + listed: audittest.HaveAuditedInOrder("a.b.c"),
	} {
		if ok, err := matcher.Match(events); !ok || err != nil {
			t.Errorf("match: %v, %v, want true", ok, err)
		}
		if message := matcher.NegatedFailureMessage(events); message != want {
			t.Errorf("message\n%s\nwant\n%s", message, want)
		}
	}
}

func TestMatchersListPartOfALongTrail(t *testing.T) {
	t.Parallel()
	matcher := audittest.HaveAudited("d.e.f")
	if _, err := matcher.Match(make([]audit.Event, 1000)); err != nil {
		t.Fatal(err)
	}
	message := matcher.FailureMessage(nil)
	if n := strings.Count(message, "\n"); n > 60 || !strings.HasSuffix(message, "\n    and 950 more") {
		t.Errorf("message of %d lines:\n%s", n, message)
	}
}

// A matcher that cannot judge an event is the test's mistake, unless another event matches.
func TestMatchersReportMatchersThatFail(t *testing.T) {
	t.Parallel()
	events := trailOf("rr-1", "a.b.c", "a.b.c")
	events[1].Data = []byte(`{"count":2}`)
	for want, matcher := range map[bool]gomegatypes.GomegaMatcher{
		true:  audittest.HaveAudited("a.b.c", audittest.WithData("count", gomega.BeNumerically("==", 2))),
		false: audittest.HaveAudited("a.b.c", audittest.WithData("count", gomega.BeNumerically("==", 3))),
	} {
		if ok, err := matcher.Match(events); ok != want || (err == nil) != want {
			t.Errorf("match: %v, %v, want %v", ok, err, want)
		}
	}
	if _, err := audittest.HaveAudited("a.b.c").Match("no events"); err == nil {
		t.Error("a string is no list of events")
	}
	if _, err := audittest.HaveAuditedInOrder().Match(events); err == nil {
		t.Error("an order of no types is nil")
	}
}
