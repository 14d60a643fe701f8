package classify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"kubernaut.ai/api/v1alpha1"
)

// Input is the input of the policies.
type Input struct {
	// Now is the time at which the policies decide. It is that of the state in which
	// the resource is, so that a decision that is repeated after a crash is the same.
	Now     time.Time                `json:"now"`
	Signal  Signal                   `json:"signal"`
	Context v1alpha1.EnrichedContext `json:"context"`
	// Severity and Environment are set for the priority and business policies only.
	Severity    *Verdict `json:"severity,omitempty"`
	Environment *Verdict `json:"environment,omitempty"`
}

// Signal is the signal without its times: policies see Input.Now.
type Signal struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Source      string            `json:"source"`
	Severity    string            `json:"severity"`
	Target      Target            `json:"target"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Target is the object that the signal is about.
type Target struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Verdict is a decided value with its evidence.
type Verdict struct {
	Value      string `json:"value"`
	Source     string `json:"source"`
	Confidence int32  `json:"confidence"`
}

// NewInput makes the input for a signal and its enriched context, which may be nil, at a time.
func NewInput(now time.Time, signal *v1alpha1.Signal, context *v1alpha1.EnrichedContext) Input {
	in := Input{Now: now.UTC(), Signal: Signal{
		Name:     signal.SignalName,
		Type:     string(signal.SignalType),
		Source:   signal.SignalSource,
		Severity: signal.Severity,
		Target: Target{
			Kind:      signal.TargetResource.Kind,
			Name:      signal.TargetResource.Name,
			Namespace: signal.TargetResource.Namespace,
		},
		Labels:      signal.Labels,
		Annotations: signal.Annotations,
	}}
	if in.Signal.Target.Kind == "Namespace" {
		// Its own name may tell the environment.
		in.Signal.Target.Namespace = in.Signal.Target.Name
	}
	if context != nil {
		in.Context = *context
	}
	return in
}

// Decided adds the decisions of Classify; nil ones are ignored.
func (in *Input) Decided(severity *v1alpha1.SeverityDecision, environment *v1alpha1.EnvironmentDecision) {
	if severity != nil {
		in.Severity = &Verdict{Value: string(severity.Value), Source: severity.Source, Confidence: severity.ConfidencePercent}
	}
	if environment != nil {
		in.Environment = &Verdict{Value: string(environment.Value), Source: environment.Source, Confidence: environment.ConfidencePercent}
	}
}

// document returns the input in JSON and as OPA's value, which several queries share.
// Maps are encoded in key order, so that equal inputs are equal texts.
func (in *Input) document() (json.RawMessage, ast.Value, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, nil, fmt.Errorf("encode policy input: %w", err)
	}
	doc, err := ast.ValueFromReader(bytes.NewReader(text))
	if err != nil {
		return nil, nil, fmt.Errorf("decode policy input: %w", err)
	}
	return text, doc, nil
}
