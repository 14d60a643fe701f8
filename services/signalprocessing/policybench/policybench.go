// Package policybench gives benchmarks access to the evaluation of policies, which is
// internal to the service.
package policybench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

// Signal is what is classified.
type Signal struct {
	Signal  v1alpha1.Signal
	Context v1alpha1.EnrichedContext
}

// Evaluations are two ways to evaluate the built-in policies for the severity and the
// environment of one signal. They are not safe for concurrent use.
type Evaluations struct {
	// Classify is what the service does.
	Classify func(context.Context) error
	// Bare are the two prepared queries of the same modules, with the same input as a
	// generic document, as OPA's documentation shows it.
	Bare func(context.Context) error
}

// New prepares both.
func New(ctx context.Context, s Signal) (Evaluations, error) {
	bundle, err := policy.BuiltIn()
	if err != nil {
		return Evaluations{}, fmt.Errorf("load policies: %w", err)
	}
	set, err := policy.Compile(ctx, bundle)
	if err != nil {
		return Evaluations{}, fmt.Errorf("compile policies: %w", err)
	}
	classifier, err := classify.New(func() *policy.Set { return set }, classify.Options{})
	if err != nil {
		return Evaluations{}, fmt.Errorf("compile policies: %w", err)
	}
	now := time.Now()
	bare, err := newBare(ctx, bundle, classify.NewInput(now, &s.Signal, &s.Context))
	if err != nil {
		return Evaluations{}, err
	}
	return Evaluations{
		Classify: func(ctx context.Context) error {
			result, err := classifier.Classify(ctx, classify.NewInput(now, &s.Signal, &s.Context))
			if err != nil {
				return fmt.Errorf("classify: %w", err)
			}
			if result.PolicyError != "" {
				return fmt.Errorf("classify: %s", result.PolicyError)
			}
			return nil
		},
		Bare: bare,
	}, nil
}

func newBare(ctx context.Context, bundle policy.Bundle, in classify.Input) (func(context.Context) error, error) {
	compiler, err := ast.CompileModules(bundle.Modules)
	if err != nil {
		return nil, fmt.Errorf("compile policies: %w", err)
	}
	var queries []rego.PreparedEvalQuery
	for _, query := range []string{"data.kubernaut.severity.decision", "data.kubernaut.environment.decision"} {
		prepared, err := rego.New(rego.Query(query), rego.Compiler(compiler)).PrepareForEval(ctx)
		if err != nil {
			return nil, fmt.Errorf("prepare %s: %w", query, err)
		}
		queries = append(queries, prepared)
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode input: %w", err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("decode input: %w", err)
	}
	return func(ctx context.Context) error {
		for i := range queries {
			results, err := queries[i].Eval(ctx, rego.EvalInput(document))
			if err != nil {
				return fmt.Errorf("evaluate: %w", err)
			}
			if len(results) != 1 {
				return fmt.Errorf("evaluate: %d results", len(results))
			}
		}
		return nil
	}, nil
}
