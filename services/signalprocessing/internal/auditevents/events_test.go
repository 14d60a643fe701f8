package auditevents_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
)

func resource() *v1alpha1.SignalProcessing {
	return &v1alpha1.SignalProcessing{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "rr-1", UID: "6f1d1c2e-0000-4000-8000-000000000001", Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)),
		},
		Spec: v1alpha1.SignalProcessingSpec{
			RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: "rr-1"},
			Signal:                v1alpha1.Signal{TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "web-0", Namespace: "shop"}},
		},
	}
}

func request() *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "rr-1", UID: "6f1d1c2e-0000-4000-8000-000000000000", Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)),
		},
		Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
			ReceivedTime: metav1.NewMicroTime(time.Date(2026, 11, 23, 11, 59, 59, 123456000, time.UTC)),
		}},
		Status: v1alpha1.RemediationRequestStatus{Phase: v1alpha1.RemediationClassified, Severity: v1alpha1.SeverityMedium},
	}
}

func severity(value v1alpha1.Severity) v1alpha1.SeverityDecision {
	return v1alpha1.SeverityDecision{Value: value, Decision: v1alpha1.Decision{Source: "signal-severity", ConfidencePercent: 90}}
}

func environment(value v1alpha1.Environment) v1alpha1.EnvironmentDecision {
	return v1alpha1.EnvironmentDecision{Value: value, Decision: v1alpha1.Decision{Source: "namespace-name", ConfidencePercent: 70}}
}

func evidence() auditevents.Evidence {
	return auditevents.Evidence{Policy: v1alpha1.Policy{SHA256: "aa", Origin: "built-in"}, InputSHA256: "bb"}
}

// events are one event of each type, as two runs over a resource record them.
func events(t *testing.T) []*audit.Event {
	t.Helper()
	var all []*audit.Event
	add := func(e *audit.Event, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	sp := resource()
	add(auditevents.StepOf(sp).Transition(v1alpha1.ProcessingEnriching))

	sp.Status.Phase = v1alpha1.ProcessingEnriching
	add(auditevents.StepOf(sp).Failed(auditevents.Failure{Code: "forbidden", Message: `read Pod "web-0" in namespace "shop": forbidden`}))
	sp.Status.Attempt = 1
	sp.Status.Context = &v1alpha1.EnrichedContext{
		OwnerChain:      []v1alpha1.OwnerReference{{Kind: "StatefulSet", Name: "web"}},
		NamespaceLabels: map[string]string{"team": "checkout"},
	}
	add(auditevents.StepOf(sp).Enriched(sp.Status.Context, 1500*time.Microsecond))

	sp.Status.Phase, sp.Status.Attempt = v1alpha1.ProcessingClassifying, 0
	add(auditevents.StepOf(sp).Classified(severity(v1alpha1.SeverityCritical), environment(v1alpha1.EnvironmentProduction), evidence(), time.Millisecond))

	s, e := severity(v1alpha1.SeverityCritical), environment(v1alpha1.EnvironmentProduction)
	sp.Status.Phase, sp.Status.Severity, sp.Status.Environment = v1alpha1.ProcessingCategorizing, &s, &e
	p := v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP0, Decision: v1alpha1.Decision{Source: "matrix", ConfidencePercent: 70}}
	add(auditevents.StepOf(sp).Categorized(p, v1alpha1.Business{Unit: "payments", ServiceOwner: "checkout", Criticality: "high", SLA: "4h"}, evidence(), 0))
	end := sp.Status.DeepCopy()
	end.Phase, end.Priority = v1alpha1.ProcessingCompleted, &p
	add(auditevents.StepOf(sp).Processed(end, 2*time.Second))
	add(auditevents.StepOf(sp).Transition(v1alpha1.ProcessingCompleted))

	sp.Status.Phase, sp.Status.Severities = v1alpha1.ProcessingCompleted, []string{"warning"}
	add(auditevents.StepOf(sp).Reclassified(
		auditevents.Change[v1alpha1.Severity]{Old: v1alpha1.SeverityMedium, New: v1alpha1.SeverityCritical},
		auditevents.Change[v1alpha1.Priority]{Old: v1alpha1.PriorityP3, New: v1alpha1.PriorityP1},
		[]auditevents.Reevaluation{{
			Said: "critical", Severity: severity(v1alpha1.SeverityCritical),
			Priority:       v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP1, Decision: v1alpha1.Decision{Source: "matrix", ConfidencePercent: 70}},
			Classification: evidence(), Categorization: evidence(),
		}}, time.Millisecond))

	rr := request()
	add(auditevents.Skipped(rr, auditevents.End{Reason: v1alpha1.ReasonStale, LastSeenAt: rr.Spec.ReceivedTime, Message: "not repeated for 12h0m0s"}))
	rr.Status.Phase = v1alpha1.RemediationSkipped
	add(auditevents.Deleted(rr, auditevents.CauseExpired))

	sp.Generation, sp.Status = 2, v1alpha1.SignalProcessingStatus{Phase: v1alpha1.ProcessingEnriching, Attempt: 4}
	add(auditevents.StepOf(sp).Failed(auditevents.Failure{Code: "unreachable", Message: `read Namespace "shop": unreachable`, Final: true}))
	add(auditevents.StepOf(sp).Processed(&v1alpha1.SignalProcessingStatus{Phase: v1alpha1.ProcessingFailed}, 31*time.Second))
	add(auditevents.StepOf(sp).Transition(v1alpha1.ProcessingFailed))
	return all
}

var update = flag.Bool("update", false, "write the golden file") //nolint:gochecknoglobals // a test's flag

// pinned is the part of an event that this package sets.
type pinned struct {
	ID            uuid.UUID       `json:"id"`
	Type          string          `json:"type"`
	Category      string          `json:"category"`
	Action        string          `json:"action"`
	Outcome       audit.Outcome   `json:"outcome"`
	CorrelationID string          `json:"correlation_id"`
	Actor         string          `json:"actor"`
	Resource      string          `json:"resource"`
	Severity      string          `json:"severity,omitempty"`
	Duration      *time.Duration  `json:"duration,omitempty"`
	ErrorCode     string          `json:"error_code,omitempty"`
	ErrorMessage  string          `json:"error_message,omitempty"`
	Data          json.RawMessage `json:"data"`
}

// TestEvents compares the whole content of each event, including its id, with a
// golden file: if an id changed between two versions of the service, steps that are
// repeated across an upgrade would record their events twice.
func TestEvents(t *testing.T) {
	t.Parallel()
	all := events(t)
	shown := make([]pinned, 0, len(all))
	for _, e := range all {
		shown = append(shown, pinned{
			ID: e.ID, Type: e.Type, Category: e.Category, Action: e.Action, Outcome: e.Outcome, CorrelationID: e.CorrelationID,
			Actor: e.ActorType + "/" + e.ActorID, Resource: e.ResourceType + "/" + e.Namespace + "/" + e.ResourceID,
			Severity: e.Severity, Duration: e.Duration, ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage, Data: e.Data,
		})
	}
	got, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/events.json"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("events differ from %s (run with -update and review the difference):\n%s", golden, got)
	}
	for _, e := range all {
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", e.Type, err)
		}
	}
}

func TestRepeatedStepIsTheSameEvent(t *testing.T) {
	t.Parallel()
	sp := resource()
	first, err := auditevents.StepOf(sp).Enriched(&v1alpha1.EnrichedContext{TargetLabels: map[string]string{"a": "1", "b": "2"}}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// Other writers' changes and the duration are not part of the step.
	sp.ResourceVersion, sp.Annotations, sp.Labels = "77", map[string]string{"x": "y"}, map[string]string{"x": "y"}
	again, err := auditevents.StepOf(sp).Enriched(&v1alpha1.EnrichedContext{TargetLabels: map[string]string{"b": "2", "a": "1"}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != first.ID || string(again.Data) != string(first.Data) {
		t.Errorf("repeated: %s %s, then %s %s", first.ID, first.Data, again.ID, again.Data)
	}
}

func TestAnotherStepIsAnotherEvent(t *testing.T) {
	t.Parallel()
	seen := map[uuid.UUID]string{}
	for name, change := range map[string]func(*v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision{
		"base": func(*v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision { return nil },
		"created": func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision {
			sp.CreationTimestamp.Time = sp.CreationTimestamp.Add(time.Second)
			return nil
		},
		"uid":        func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision { sp.UID = "other"; return nil },
		"generation": func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision { sp.Generation = 2; return nil },
		"phase": func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision {
			sp.Status.Phase = v1alpha1.ProcessingClassifying
			return nil
		},
		"attempt": func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision { sp.Status.Attempt = 1; return nil },
		"severities": func(sp *v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision {
			sp.Status.Severities = []string{"warning"}
			return nil
		},
		"the decision": func(*v1alpha1.SignalProcessing) *v1alpha1.SeverityDecision {
			s := severity(v1alpha1.SeverityLow)
			return &s
		},
	} {
		sp := resource()
		decided := severity(v1alpha1.SeverityHigh)
		if other := change(sp); other != nil {
			decided = *other
		}
		e, err := auditevents.StepOf(sp).Classified(decided, environment(v1alpha1.EnvironmentTest), evidence(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[e.ID]; ok {
			t.Errorf("%q and %q have the same id", name, before)
		}
		seen[e.ID] = name
	}
}

func TestDefaultInsteadOfAFailedPolicyIsAFailure(t *testing.T) {
	t.Parallel()
	failed := evidence()
	failed.PolicyError = "took longer than 5s"
	e, err := auditevents.StepOf(resource()).Classified(severity(v1alpha1.SeverityUnknown), environment(v1alpha1.EnvironmentUnknown), failed, 0)
	if err != nil {
		t.Fatal(err)
	}
	if e.Outcome != audit.OutcomeFailure {
		t.Errorf("outcome = %s", e.Outcome)
	}
}

// An end that a new signal prevented, and the one that follows later, are two events.
func TestAnotherEndIsAnotherEvent(t *testing.T) {
	t.Parallel()
	rr := request()
	end := auditevents.End{Reason: v1alpha1.ReasonResolvedBeforeExecution, LastSeenAt: rr.LastSeenAt(), Message: "resolved"}
	first, err := auditevents.Skipped(rr, end)
	if err != nil {
		t.Fatal(err)
	}
	again, err := auditevents.Skipped(rr.DeepCopy(), end)
	if err != nil {
		t.Fatal(err)
	}
	seen := metav1.NewMicroTime(rr.Spec.ReceivedTime.Add(time.Minute))
	rr.Status.Deduplication = &v1alpha1.Deduplication{FirstSeenAt: rr.Spec.ReceivedTime, LastSeenAt: seen, OccurrenceCount: 2}
	end.LastSeenAt = rr.LastSeenAt()
	later, err := auditevents.Skipped(rr, end)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != again.ID || first.ID == later.ID {
		t.Errorf("ids %s, repeated %s, later %s", first.ID, again.ID, later.ID)
	}
}
