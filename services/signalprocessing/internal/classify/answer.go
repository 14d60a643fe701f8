package classify

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
)

// The limits of the resource's fields.
const (
	maxSource = 63
	maxName   = 253
	maxSLA    = 63
)

// evaluation asks one set of policies about one input.
type evaluation struct {
	set      *policy.Set
	deadline time.Duration
	text     json.RawMessage
	doc      ast.Value
}

// ask asks one query and decodes its answer.
func (e *evaluation) ask(ctx context.Context, query string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	results, err := e.set.Eval(ctx, query, e.doc)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failf(query, codeTimeout, "took longer than %s", e.deadline)
	case err != nil:
		return failf(query, codeEvaluation, "%w", err)
	case len(results) == 0:
		return failf(query, codeUndefined, "is undefined")
	}
	encoded, err := json.Marshal(results[0].Expressions[0].Value)
	if err != nil {
		return failf(query, codeAnswer, "encode answer: %w", err)
	}
	if err := json.Unmarshal(encoded, answer); err != nil {
		return failf(query, codeAnswer, "unusable answer: %w", err)
	}
	return nil
}

// verdict asks for a value and checks it against its scale.
func (e *evaluation) verdict(ctx context.Context, query string, known func(string) bool) (Verdict, error) {
	var v Verdict
	if err := e.ask(ctx, query, &v); err != nil {
		return Verdict{}, err
	}
	switch {
	case !known(v.Value):
		return Verdict{}, failf(query, codeScale, "value %q is not on the scale", v.Value)
	case v.Confidence < 0 || v.Confidence > 100:
		return Verdict{}, failf(query, codeScale, "confidence %d is not between 0 and 100", v.Confidence)
	case v.Source == "" || utf8.RuneCountInString(v.Source) > maxSource:
		return Verdict{}, failf(query, codeScale, "source %q: want 1 to %d characters", v.Source, maxSource)
	}
	return v, nil
}

// business asks who is concerned. What the policy cannot tell, or tells beyond
// the limits, is left out.
func (e *evaluation) business(ctx context.Context) (v1alpha1.Business, error) {
	nobody := v1alpha1.Business{Criticality: criticalityUnknown}
	var b struct {
		Unit         string               `json:"unit"`
		ServiceOwner string               `json:"serviceOwner"`
		Criticality  v1alpha1.Criticality `json:"criticality"`
		SLA          string               `json:"sla"`
	}
	if err := e.ask(ctx, queryBusiness, &b); err != nil {
		return nobody, err
	}
	if !isCriticality(b.Criticality) {
		return nobody, failf(queryBusiness, codeScale, "criticality %q is not on the scale", b.Criticality)
	}
	if _, err := time.ParseDuration(b.SLA); b.SLA != "" && err != nil {
		return nobody, failf(queryBusiness, codeScale, "sla: %w", err)
	}
	return v1alpha1.Business{
		Unit:         within(b.Unit, maxName),
		ServiceOwner: within(b.ServiceOwner, maxName),
		Criticality:  b.Criticality,
		SLA:          within(b.SLA, maxSLA),
	}, nil
}

func within(text string, limit int) string {
	if utf8.RuneCountInString(text) > limit {
		return ""
	}
	return text
}

func (v Verdict) decision() v1alpha1.Decision {
	return v1alpha1.Decision{Source: v.Source, ConfidencePercent: v.Confidence}
}

// undecided marks a value that stands in for a policy that failed.
func undecided() v1alpha1.Decision { return v1alpha1.Decision{Source: SourcePolicyError} }

const criticalityUnknown = v1alpha1.Criticality("unknown")

func isSeverity(value string) bool {
	return slices.Contains([]v1alpha1.Severity{
		v1alpha1.SeverityCritical, v1alpha1.SeverityHigh, v1alpha1.SeverityMedium, v1alpha1.SeverityLow, v1alpha1.SeverityUnknown,
	}, v1alpha1.Severity(value))
}

func isEnvironment(value string) bool {
	return slices.Contains([]v1alpha1.Environment{
		v1alpha1.EnvironmentProduction, v1alpha1.EnvironmentStaging, v1alpha1.EnvironmentDevelopment, v1alpha1.EnvironmentTest, v1alpha1.EnvironmentUnknown,
	}, v1alpha1.Environment(value))
}

func isPriority(value string) bool {
	return slices.Contains([]v1alpha1.Priority{
		v1alpha1.PriorityP0, v1alpha1.PriorityP1, v1alpha1.PriorityP2, v1alpha1.PriorityP3,
	}, v1alpha1.Priority(value))
}

func isCriticality(value v1alpha1.Criticality) bool {
	return slices.Contains([]v1alpha1.Criticality{"critical", "high", "medium", "low", criticalityUnknown}, value)
}
