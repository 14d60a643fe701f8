package classify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
)

// DefaultDeadline bounds a decision if Options.Deadline is zero.
const DefaultDeadline = 5 * time.Second

// Sources of values that no policy rule decided.
const (
	// SourceDefault: no rule applied.
	SourceDefault = "default"
	// SourcePolicyError: the policy failed.
	SourcePolicyError = "policy-error"
)

// The decisions that a bundle defines.
const (
	querySeverity    = "data.kubernaut.severity.decision"
	queryEnvironment = "data.kubernaut.environment.decision"
	queryPriority    = "data.kubernaut.priority.decision"
	queryBusiness    = "data.kubernaut.business.decision"
)

// Options of a Classifier.
type Options struct {
	// Deadline of one decision on the real clock; zero means DefaultDeadline.
	Deadline time.Duration
}

// Policies returns the policies in force, which may be others at the next call.
type Policies func() *policy.Set

// Classifier evaluates policies. It is safe for concurrent use. Each call of a
// method uses one set of policies.
type Classifier struct {
	policies Policies
	deadline time.Duration
}

// New makes a Classifier.
func New(policies Policies, o Options) (*Classifier, error) {
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.Deadline < 0 {
		return nil, fmt.Errorf("policy deadline %s: must be positive", o.Deadline)
	}
	return &Classifier{policies: policies, deadline: o.Deadline}, nil
}

// Classification is the result of the severity and environment policies.
type Classification struct {
	Evidence

	Severity    v1alpha1.SeverityDecision
	Environment v1alpha1.EnvironmentDecision
}

// Categorization is the result of the priority and business policies.
type Categorization struct {
	Evidence

	Priority v1alpha1.PriorityDecision
	Business v1alpha1.Business
}

// Evidence is what a decision is based on.
type Evidence struct {
	// Policy identifies the policies that decided.
	Policy v1alpha1.Policy
	// Input is the input in JSON, with its keys in order, and InputSHA256 the hex
	// digest of that.
	Input       json.RawMessage
	InputSHA256 string
	// PolicyError says why a default was used, in words that depend on the input
	// only; empty if the policies decided.
	PolicyError string
	// PolicyDetail says so in the policy engine's words, which may vary. It belongs
	// into no audit event.
	PolicyDetail string
}

// evidence is that of the decisions with these errors; nil ones are ignored.
func (e *evaluation) evidence(errs ...error) Evidence {
	sum := sha256.Sum256(e.text)
	out := Evidence{Policy: e.set.Policy(), Input: e.text, InputSHA256: hex.EncodeToString(sum[:])}
	out.PolicyError, out.PolicyDetail = failures(errs...)
	return out
}

// Classify decides severity and environment. It returns an error only if ctx has
// ended.
func (c *Classifier) Classify(ctx context.Context, in Input) (Classification, error) {
	e, err := c.start(&in)
	if err != nil {
		return Classification{}, err
	}
	severity, severityErr := e.verdict(ctx, querySeverity, isSeverity)
	environment, environmentErr := e.verdict(ctx, queryEnvironment, isEnvironment)
	if err := ctx.Err(); err != nil {
		return Classification{}, fmt.Errorf("classify: %w", err)
	}
	out := Classification{Evidence: e.evidence(severityErr, environmentErr)}
	out.Severity = v1alpha1.SeverityDecision{Value: v1alpha1.SeverityUnknown, Decision: undecided()}
	if severityErr == nil {
		out.Severity = v1alpha1.SeverityDecision{Value: v1alpha1.Severity(severity.Value), Decision: severity.decision()}
	}
	out.Environment = v1alpha1.EnvironmentDecision{Value: v1alpha1.EnvironmentUnknown, Decision: undecided()}
	if environmentErr == nil {
		out.Environment = v1alpha1.EnvironmentDecision{Value: v1alpha1.Environment(environment.Value), Decision: environment.decision()}
	}
	return out, nil
}

// Categorize decides priority and business. in.Severity and in.Environment are the
// decisions of Classify. It returns an error only if ctx has ended.
func (c *Classifier) Categorize(ctx context.Context, in Input) (Categorization, error) {
	e, err := c.start(&in)
	if err != nil {
		return Categorization{}, err
	}
	priority, priorityErr := e.verdict(ctx, queryPriority, isPriority)
	business, businessErr := e.business(ctx)
	if err := ctx.Err(); err != nil {
		return Categorization{}, fmt.Errorf("categorize: %w", err)
	}
	out := Categorization{Business: business, Evidence: e.evidence(priorityErr, businessErr)}
	out.Priority = v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP3, Decision: undecided()}
	if priorityErr == nil {
		out.Priority = v1alpha1.PriorityDecision{Value: v1alpha1.Priority(priority.Value), Decision: priority.decision()}
	}
	return out, nil
}

// start begins a call that is about one input.
func (c *Classifier) start(in *Input) (*evaluation, error) {
	text, doc, err := in.document()
	if err != nil {
		return nil, err
	}
	return &evaluation{set: c.policies(), deadline: c.deadline, text: text, doc: doc}, nil
}
