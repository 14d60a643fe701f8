package replay_test

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/replay"
	"kubernaut.ai/internal/policy"
)

// candidate decides the severity by the signal's own, and no priority unless that is high.
const candidate = `package kubernaut
severity.decision := {"value": input.signal.severity, "source": "test", "confidence": 50}
environment.decision := {"value": "staging", "source": "test", "confidence": 50}
priority.decision := {"value": "P1", "source": "test", "confidence": 50} if input.severity.value == "high"
business.decision := {"unit": "u", "criticality": "low"}
remediation.decision := {"workflow": "restart", "parameters": {}, "approval": "required", "reason": "always"}
`

type source []datastorage.StoredEvent

func (s source) Query(_ context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error] {
	return func(yield func(datastorage.StoredEvent, error) bool) {
		for _, e := range s {
			if e.EventType == *params.EventType && !yield(e, nil) {
				return
			}
		}
	}
}

const (
	classified  = "signalprocessing.classification.decision"
	categorized = "signalprocessing.business.classified"
	selected    = "remediation.workflow.selected"
)

func decided(eventType, data string) datastorage.StoredEvent {
	return datastorage.StoredEvent{EventType: eventType, CorrelationId: "rr-1", EventData: json.RawMessage(data)}
}

func run(t *testing.T, from source) *replay.Result {
	t.Helper()
	bundle, err := policy.Load(fstest.MapFS{"p/policy.rego": {Data: []byte(candidate)}}, "p", "test")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	result, err := replay.Run(t.Context(), from, time.Now().Add(-time.Hour), set)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestReplayNamesWhatWouldChange(t *testing.T) {
	t.Parallel()
	result := run(t, source{
		decided(classified, `{"policy_input":{"signal":{"severity":"high"}},"severity":{"value":"low","source":"a"},"environment":{"value":"staging","source":"a"}}`),
		decided(categorized, `{"policy_input":{"severity":{"value":"low"}},"priority":{"value":"P2","source":"a"},"business":{"unit":"u","criticality":"low"}}`),
	})
	if result.Decisions != 4 || result.Changed != 2 || len(result.Changes) != 2 {
		t.Fatalf("%+v", result)
	}
	undefined, severity := result.Changes[0], result.Changes[1]
	if severity.Decision != "severity" || severity.Recorded != "low" || severity.Candidate != "high" || severity.Request != "rr-1" {
		t.Errorf("%+v", severity)
	}
	if undefined.Decision != "priority" || undefined.Candidate != replay.Undecided || !strings.Contains(undefined.Error, "undefined") {
		t.Errorf("%+v", undefined)
	}
}

func TestReplayOfSelections(t *testing.T) {
	t.Parallel()
	result := run(t, source{
		decided(selected, `{"policy_input":{},"workflow":"restart","approval":"auto"}`),
		decided(selected, `{"policy_input":{},"workflow":"restart","approval":"required"}`),
		decided(selected, `{"workflow":"rollback","approval":"required","rollback_of":"rr-1-1"}`),
	})
	if result.Decisions != 2 || result.Changed != 1 || result.WithoutInput != 0 {
		t.Fatalf("%+v", result)
	}
	if c := result.Changes[0]; c.Decision != "remediation" || c.Field != "approval" || c.Recorded != "auto" || c.Candidate != "required" {
		t.Errorf("%+v", c)
	}
}

func TestReplayCountsWhatItCannotEvaluate(t *testing.T) {
	t.Parallel()
	foreign := decided(classified, `{"policy_input":{},"severity":{},"environment":{}}`)
	foreign.Foreign = true
	result := run(t, source{decided(classified, `{"policy_input_omitted":true,"severity":{},"environment":{}}`), foreign})
	if result.WithoutInput != 1 || result.Foreign != 1 || result.Decisions != 0 {
		t.Errorf("%+v", result)
	}
}

func TestReplayBoundsWhatItLists(t *testing.T) {
	t.Parallel()
	all := make(source, 0, 1001)
	for range 1001 {
		all = append(all, decided(classified, `{"policy_input":{"signal":{"severity":"high"}},"severity":{"value":"low"},"environment":{"value":"staging"}}`))
	}
	if result := run(t, all); len(result.Changes) != 1000 || result.Unlisted != 1 || result.Changed != 1001 {
		t.Errorf("%d listed, %d unlisted, %d changed", len(result.Changes), result.Unlisted, result.Changed)
	}
}
