// Package replay evaluates a candidate bundle of policies on the inputs of decisions
// that were made, and tells what it would decide differently.
package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/trail"
	"kubernaut.ai/internal/policy"
)

const (
	// maxChanges bounds the changes that are listed; all are counted.
	maxChanges = 1000
	// deadline bounds one decision.
	deadline = 5 * time.Second

	// Undecided stands for the answer of policies that failed.
	Undecided = "(policy error)"
)

// Change is a value that the candidate decides differently.
type Change struct {
	Time     time.Time `json:"time"`
	Request  string    `json:"request"`
	EventID  string    `json:"event_id"`
	Decision string    `json:"decision"`
	Field    string    `json:"field"`
	Recorded string    `json:"recorded"`
	// Candidate is the candidate's answer.
	Candidate string `json:"candidate"`
	// Error says why the candidate has none.
	Error string `json:"error,omitempty"`
}

// Result is what a replay found.
type Result struct {
	Policy string `json:"policy"`
	SHA256 string `json:"policy_sha256"`
	// Decisions were evaluated.
	Decisions int `json:"decisions"`
	// Changed of the decisions would have another result.
	Changed int `json:"changed"`
	// WithoutInput were not evaluated: their event does not have the input.
	WithoutInput int `json:"without_input"`
	// Foreign were not evaluated: their recorder may not write such events.
	Foreign int `json:"foreign"`
	// Changes are the first ones; those of one type of event are beside each other, oldest first.
	Changes []Change `json:"changes"`
	// Unlisted are the changes beyond the bound.
	Unlisted int `json:"unlisted_changes"`
}

// field is a part of an answer, and where an event has it.
type field struct{ answer, event string }

// question is a decision that an event has recorded.
type question struct {
	decision string
	// name of the decision, and of the part of the event's data that has the fields;
	// whole: they are in the data itself.
	name   string
	whole  bool
	fields []field
}

// fieldValue is the field of a decision that has one value.
const fieldValue = "value"

// questions are the decisions by the type of their event.
var questions = map[string][]question{
	"signalprocessing.classification.decision": {
		{"data.kubernaut.severity.decision", "severity", false, []field{{fieldValue, fieldValue}}},
		{"data.kubernaut.environment.decision", "environment", false, []field{{fieldValue, fieldValue}}},
	},
	"signalprocessing.business.classified": {
		{"data.kubernaut.priority.decision", "priority", false, []field{{fieldValue, fieldValue}}},
		{"data.kubernaut.business.decision", "business", false, []field{
			{"unit", "unit"}, {"serviceOwner", "service_owner"}, {"criticality", "criticality"}, {"sla", "sla"},
		}},
	},
	"remediation.workflow.selected": {
		{"data.kubernaut.remediation.decision", "remediation", true, []field{{"workflow", "workflow"}, {"approval", "approval"}}},
	},
}

// Run replays the decisions since a time, page by page.
func Run(ctx context.Context, from trail.Source, since time.Time, candidate *policy.Set) (*Result, error) {
	id := candidate.Policy()
	r := &Result{Policy: id.Origin, SHA256: id.SHA256, Changes: []Change{}}
	order := datastorage.Asc
	start := since.UTC().Format(time.RFC3339)
	for _, eventType := range slices.Sorted(maps.Keys(questions)) {
		params := datastorage.ListEventsParams{EventType: &eventType, Since: &start, Order: &order}
		for event, err := range from.Query(ctx, params) {
			if err == nil {
				err = r.replay(ctx, candidate, &event)
			}
			if err != nil {
				return nil, fmt.Errorf("replay: %w", err)
			}
		}
	}
	return r, nil
}

// replay evaluates the decisions of one event.
func (r *Result) replay(ctx context.Context, candidate *policy.Set, e *datastorage.StoredEvent) error {
	if e.Foreign || e.RecorderUnchecked {
		r.Foreign++
		return nil
	}
	if e.ErasedAt != nil {
		r.WithoutInput++
		return nil
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(e.EventData, &data); err != nil {
		return fmt.Errorf("event %s: read its data: %w", e.EventId, err)
	}
	if len(data["rollback_of"]) > 0 {
		return nil // a rollback follows from an execution, no policy selects it
	}
	if len(data["policy_input"]) == 0 {
		r.WithoutInput++
		return nil
	}
	input, err := ast.ValueFromReader(bytes.NewReader(data["policy_input"]))
	if err != nil {
		return fmt.Errorf("event %s: read the input: %w", e.EventId, err)
	}
	for _, q := range questions[e.EventType] {
		var recorded map[string]any
		text := data[q.name]
		if q.whole {
			text = e.EventData
		}
		if err := json.Unmarshal(text, &recorded); err != nil {
			return fmt.Errorf("event %s: read %s: %w", e.EventId, q.name, err)
		}
		answer, failure := ask(ctx, candidate, q.decision, input)
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // the caller says what
		}
		r.compare(e, &q, recorded, answer, failure)
	}
	return nil
}

// compare counts a decision, and lists the fields that differ.
func (r *Result) compare(e *datastorage.StoredEvent, q *question, recorded, answer map[string]any, failure string) {
	r.Decisions++
	changed := false
	for _, f := range q.fields {
		before, after := text(recorded[f.event]), text(answer[f.answer])
		if recorded["source"] == "policy-error" || q.whole && recorded["policy_error"] != nil {
			before = Undecided
		}
		if failure != "" {
			after = Undecided
		}
		if before == after {
			continue
		}
		changed = true
		if len(r.Changes) == maxChanges {
			r.Unlisted++
			continue
		}
		r.Changes = append(r.Changes, Change{
			Time: e.EventTimestamp, Request: e.CorrelationId, EventID: e.EventId.String(),
			Decision: q.name, Field: f.answer, Recorded: before, Candidate: after, Error: failure,
		})
	}
	if changed {
		r.Changed++
	}
}

// ask returns the candidate's answer, or why there is none.
func ask(ctx context.Context, candidate *policy.Set, decision string, input ast.Value) (answer map[string]any, failure string) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	results, err := candidate.Eval(ctx, decision, input)
	if err != nil {
		return nil, err.Error()
	}
	if len(results) == 0 || len(results[0].Expressions) == 0 {
		return nil, decision + " is undefined"
	}
	answer, ok := results[0].Expressions[0].Value.(map[string]any)
	if !ok {
		return nil, fmt.Sprintf("%s is %T, not an object", decision, results[0].Expressions[0].Value)
	}
	return answer, ""
}

func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(value)
}
