package selection

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.uber.org/zap"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
)

const (
	query = "data.kubernaut.remediation.decision"
	// maxReason is the length of a reason in characters.
	maxReason = 1024
)

// input is the input of the policy.
type input struct {
	// Now is when the request was classified, or left manual review, so that a selection that is
	// repeated after a crash is the same.
	Now         time.Time                 `json:"now"`
	Signal      signal                    `json:"signal"`
	Context     *v1alpha1.EnrichedContext `json:"context,omitempty"`
	Severity    verdict                   `json:"severity"`
	Environment verdict                   `json:"environment"`
	Priority    verdict                   `json:"priority"`
	Namespace   namespace                 `json:"namespace"`
	Target      target                    `json:"target"`
	Workflows   []workflow                `json:"workflows"`
	Recent      []execution               `json:"recent"`
}

type signal struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Source      string            `json:"source"`
	Severity    string            `json:"severity"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type verdict struct {
	Value      string `json:"value"`
	Source     string `json:"source"`
	Confidence int32  `json:"confidence"`
}

// namespace is that of the target, as it is now.
type namespace struct {
	Name string `json:"name"`
	// Remediation is the value of the label that opts in.
	Remediation string `json:"remediation"`
}

// target is the object that would be changed.
type target struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	GitOps     string `json:"gitops"`
}

type workflow struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Risk        v1alpha1.Risk `json:"risk"`
	Parameters  []parameter   `json:"parameters"`
}

type parameter struct {
	Name     string                 `json:"name"`
	Type     v1alpha1.ParameterType `json:"type"`
	Required bool                   `json:"required"`
	Default  *string                `json:"default,omitempty"`
}

type execution struct {
	Workflow   string                  `json:"workflow"`
	Phase      v1alpha1.ExecutionPhase `json:"phase"`
	Outcome    v1alpha1.Outcome        `json:"outcome"`
	ProposedAt time.Time               `json:"proposedAt"`
}

// choose asks the policy, checks its answer against the catalog, and records both.
func (s *Selector) choose(ctx context.Context, rr *v1alpha1.RemediationRequest, f *situation) (auditevents.Choice, []v1alpha1.ExecutionParameter, error) {
	set := s.Policies()
	text, err := json.Marshal(inputOf(rr, f))
	if err != nil {
		return auditevents.Choice{}, nil, fmt.Errorf("encode the policy's input: %w", err)
	}
	doc, err := ast.ValueFromReader(bytes.NewReader(text))
	if err != nil {
		return auditevents.Choice{}, nil, fmt.Errorf("decode the policy's input: %w", err)
	}
	sum := sha256.Sum256(text)
	asked := set.Policy()
	f.policy = &asked
	evidence := auditevents.Evidence{Policy: asked, Input: text, InputSHA256: hex.EncodeToString(sum[:])}
	bounded, cancel := context.WithTimeout(ctx, s.options.Deadline)
	defer cancel()
	var choice auditevents.Choice
	results, failure := set.Eval(bounded, query, doc)
	switch {
	case ctx.Err() != nil:
		return auditevents.Choice{}, nil, fmt.Errorf("select: %w", ctx.Err())
	case bounded.Err() != nil:
		failure = fmt.Errorf("took longer than %s", s.options.Deadline)
	case failure != nil:
		s.Log.Warn("the remediation policy failed: the request waits for a person; repair the policy, then retry the request",
			zap.String("namespace", rr.Namespace), zap.String("name", rr.Name), zap.Error(failure))
		failure = errors.New("evaluation failed")
	case len(results) == 0:
		failure = errors.New("is undefined")
	default:
		failure = decode(results[0].Expressions[0].Value, &choice)
	}
	var parameters []v1alpha1.ExecutionParameter
	if failure == nil {
		parameters, failure = check(&choice, f)
	}
	if failure != nil {
		evidence.PolicyError = query + " " + failure.Error()
	}
	e, err := auditevents.Selected(rr, choice, evidence, "")
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return choice, nil, err
	}
	switch {
	case failure != nil:
		s.Metrics.PolicyError()
		return choice, nil, nonef(v1alpha1.ReasonPolicyError, "%s", evidence.PolicyError)
	case choice.Workflow == "":
		return choice, nil, nonef(v1alpha1.ReasonNoWorkflow, "the policy selects no workflow: %s", choice.Reason)
	}
	return choice, parameters, nil
}

func decode(answer any, into *auditevents.Choice) error {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("cannot be encoded: %w", err)
	}
	if err := json.Unmarshal(encoded, into); err != nil {
		return errors.New("is no answer: want workflow, parameters (text by name), approval and reason")
	}
	return nil
}

// check checks an answer against the catalog.
func check(c *auditevents.Choice, f *situation) ([]v1alpha1.ExecutionParameter, error) {
	if utf8.RuneCountInString(c.Reason) > maxReason {
		c.Reason = ""
		return nil, fmt.Errorf("gives a reason of more than %d characters", maxReason)
	}
	if c.Approval != string(v1alpha1.ApprovalAuto) && c.Approval != string(v1alpha1.ApprovalRequired) {
		return nil, fmt.Errorf("answers approval %q: want %s or %s", c.Approval, v1alpha1.ApprovalAuto, v1alpha1.ApprovalRequired)
	}
	if c.Workflow == "" {
		return nil, nil
	}
	wf := f.workflow(c.Workflow)
	if wf == nil {
		return nil, fmt.Errorf("selects workflow %q, which is not among those that apply", c.Workflow)
	}
	parameters, err := catalog.ResolveParameters(&wf.Spec, c.Parameters)
	if err != nil {
		return nil, fmt.Errorf("gives workflow %s unusable parameters: %w", c.Workflow, err)
	}
	return parameters, nil
}

func inputOf(rr *v1alpha1.RemediationRequest, f *situation) input {
	status := &f.processing.Status
	in := input{
		Now: decidedAt(rr).UTC(),
		Signal: signal{
			Name: rr.Spec.SignalName, Type: string(rr.Spec.SignalType), Source: rr.Spec.SignalSource, Severity: rr.Spec.Severity,
			Labels: rr.Spec.Labels, Annotations: rr.Spec.Annotations,
		},
		Context:   status.Context,
		Target:    target{APIVersion: f.target.GetAPIVersion(), Kind: f.target.GetKind(), Name: f.target.GetName(), GitOps: f.gitOps},
		Namespace: namespace{Name: f.target.GetNamespace(), Remediation: f.optIn()},
		Workflows: []workflow{}, Recent: []execution{},
	}
	if d := status.Severity; d != nil {
		in.Severity = verdict{string(d.Value), d.Source, d.ConfidencePercent}
	}
	if d := status.Environment; d != nil {
		in.Environment = verdict{string(d.Value), d.Source, d.ConfidencePercent}
	}
	if d := status.Priority; d != nil {
		in.Priority = verdict{string(d.Value), d.Source, d.ConfidencePercent}
	}
	for i := range f.workflows {
		spec := &f.workflows[i].Spec
		w := workflow{Name: f.workflows[i].Name, Description: spec.Description, Risk: spec.Risk, Parameters: []parameter{}}
		for j := range spec.Parameters {
			p := &spec.Parameters[j]
			w.Parameters = append(w.Parameters, parameter{p.Name, p.Type, p.Required, p.Default})
		}
		in.Workflows = append(in.Workflows, w)
	}
	for i := range f.recent {
		e := &f.recent[i]
		in.Recent = append(in.Recent, execution{e.Spec.Workflow.Name, e.Status.Phase, e.Status.Outcome, e.CreationTimestamp.UTC()})
	}
	return in
}

// decidedAt is when the request got into the state in which a workflow is selected.
func decidedAt(rr *v1alpha1.RemediationRequest) time.Time {
	at := rr.CreationTimestamp.Time
	for i := range rr.Status.Conditions {
		if t := rr.Status.Conditions[i].LastTransitionTime.Time; t.After(at) {
			at = t
		}
	}
	return at
}
