package processing_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
)

// data decodes an event of a type; there must be one.
func (b *bench) data(eventType string) map[string]any {
	b.t.Helper()
	var found []map[string]any
	for _, e := range b.audit.byID {
		if e.Type == eventType {
			var data map[string]any
			if err := json.Unmarshal(e.Data, &data); err != nil {
				b.t.Fatal(err)
			}
			found = append(found, data)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("%d events of type %s: %v", len(found), eventType, b.audit.order)
	}
	return found[0]
}

// says makes the first signal's severity another one.
func (b *bench) says(severity string) {
	b.t.Helper()
	sp := b.read()
	sp.Spec.Signal.Severity = severity
	if err := b.client.Update(b.t.Context(), sp); err != nil {
		b.t.Fatal(err)
	}
}

func TestAnEscalationRaisesSeverityAndPriority(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.says("warning")
	if sp := b.run(); sp.Status.Severity.Value != v1alpha1.SeverityMedium || sp.Status.Priority.Value != v1alpha1.PriorityP2 {
		t.Fatalf("status = %+v", sp.Status)
	}
	b.announced()
	b.shown = nil
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		t.Error("enriched again")
		return nil, errBroken
	}
	b.said = []string{"warning", "critical"}
	sp := b.run()
	if sp.Status.Severity.Value != v1alpha1.SeverityCritical || sp.Status.Priority.Value != v1alpha1.PriorityP0 || sp.Status.Phase != v1alpha1.ProcessingCompleted {
		t.Errorf("status = %+v", sp.Status)
	}
	if want := append(complete(), auditevents.TypeRequestReclassified); !slices.Equal(b.audit.order, want) || len(b.shown) != 1 {
		t.Errorf("trail = %v, written phases = %v", b.audit.order, b.shown)
	}
	data := b.data(auditevents.TypeRequestReclassified)
	for name, want := range map[string]map[string]any{
		"severity": {"old": "medium", "new": "critical"}, "priority": {"old": "P2", "new": "P0"},
	} {
		if got, ok := data[name].(map[string]any); !ok || !maps.Equal(got, want) {
			t.Errorf("%s = %v", name, data[name])
		}
	}
	if got := b.announced(); !slices.Equal(got, []string{"Warning Escalated severity medium → critical, priority P2 → P0"}) {
		t.Errorf("Kubernetes events = %q", got)
	}
}

func TestValuesNeverFall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run()
	b.announced()
	b.said = []string{"critical", "info", "purple"}
	sp := b.run()
	if sp.Status.Severity.Value != v1alpha1.SeverityCritical || sp.Status.Priority.Value != v1alpha1.PriorityP0 || len(sp.Status.Severities) != 3 {
		t.Errorf("status = %+v", sp.Status)
	}
	data := b.data(auditevents.TypeRequestReclassified)
	if evaluations, ok := data["evaluations"].([]any); data["raised"] != false || !ok || len(evaluations) != 2 {
		t.Errorf("event = %v", data)
	}
	if got := b.announced(); got != nil {
		t.Errorf("Kubernetes events = %q", got)
	}
}

func TestAnEscalationIsRecordedBeforeItIsShownAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.says("warning")
	b.run()
	b.said = []string{"warning", "critical"}
	b.audit.doubt, b.audit.lose = errBroken, true
	if sp, _, err := b.attempt(); !errors.Is(err, errBroken) || sp.Status.Severity.Value != v1alpha1.SeverityMedium {
		t.Fatalf("status = %+v, error = %v", sp.Status, err)
	}
	b.audit.doubt = nil
	failures := 2
	b.writes = func(write func() error) error {
		if failures--; failures >= 0 {
			return apierrors.NewTimeoutError("broken on purpose", 0)
		}
		return write()
	}
	for range 3 {
		_, _, _ = b.attempt()
	}
	if sp := b.read(); sp.Status.Severity.Value != v1alpha1.SeverityCritical {
		t.Errorf("status = %+v", sp.Status)
	}
	b.data(auditevents.TypeRequestReclassified)
}

func TestSeveritiesBeforeTheFirstDecisionCountAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.says("warning")
	b.said = []string{"warning", "critical", "info"}
	sp := b.run()
	if sp.Status.Severity.Value != v1alpha1.SeverityCritical || !slices.Equal(sp.Status.Severities, b.said) {
		t.Errorf("status = %+v", sp.Status)
	}
	if !slices.Equal(b.audit.order, complete()) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestAnEscalationOfAFailedSignalBeginsAnewOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fails := true
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		if fails {
			return nil, &enrich.Error{Code: enrich.CodeTimeout, What: "Node", Err: errBroken}
		}
		return &v1alpha1.EnrichedContext{}, nil
	}
	b.says("warning")
	b.said = []string{"warning"}
	if sp := b.run(); sp.Status.Phase != v1alpha1.ProcessingFailed {
		t.Fatalf("status = %+v", sp.Status)
	}
	recorded := len(b.audit.order)
	b.said = append(b.said, "critical")
	if sp := b.run(); sp.Status.Phase != v1alpha1.ProcessingFailed {
		t.Fatalf("status = %+v", sp.Status)
	}
	// Back to Pending, and through all attempts again.
	if again := len(b.audit.order) - recorded; again != recorded+1 {
		t.Errorf("%d events after %d: %v", again, recorded, b.audit.order)
	}
	fails = false
	b.said = append(b.said, "page")
	if sp := b.run(); sp.Status.Phase != v1alpha1.ProcessingCompleted || sp.Status.Severity.Value != v1alpha1.SeverityCritical {
		t.Errorf("status = %+v", sp.Status)
	}
}
