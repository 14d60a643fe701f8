package classify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"kubernaut.ai/api/v1alpha1"
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

// Classifier evaluates the policies of a bundle. It is safe for concurrent use.
type Classifier struct {
	policy   v1alpha1.Policy
	deadline time.Duration
	prepared map[string]rego.PreparedEvalQuery
}

// New compiles the bundle's policies. It fails if a policy does not compile or a
// decision is not defined.
func New(ctx context.Context, b Bundle, o Options) (*Classifier, error) {
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.Deadline < 0 {
		return nil, fmt.Errorf("policy deadline %s: must be positive", o.Deadline)
	}
	compiler, err := compile(b)
	if err != nil {
		return nil, err
	}
	c := &Classifier{
		policy:   v1alpha1.Policy{SHA256: b.SHA256, Origin: b.Origin},
		deadline: o.Deadline,
		prepared: map[string]rego.PreparedEvalQuery{},
	}
	for _, query := range []string{querySeverity, queryEnvironment, queryPriority, queryBusiness} {
		if len(compiler.GetRules(ast.MustParseRef(query))) == 0 {
			return nil, fmt.Errorf("policies of %s define no %s", b.Origin, query)
		}
		prepared, err := rego.New(rego.Query(query), rego.Compiler(compiler)).PrepareForEval(ctx)
		if err != nil {
			return nil, fmt.Errorf("prepare %s of %s: %w", query, b.Origin, err)
		}
		c.prepared[query] = prepared
	}
	return c, nil
}

// compile compiles the modules. It excludes nondeterministic built-in functions, so
// that decisions can be replayed.
func compile(b Bundle) (*ast.Compiler, error) {
	modules := make(map[string]*ast.Module, len(b.Modules))
	for _, name := range sortedNames(b.Modules) {
		module, err := ast.ParseModuleWithOpts(name, b.Modules[name], ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, fmt.Errorf("parse policies of %s: %w", b.Origin, err)
		}
		modules[name] = module
	}
	capabilities := ast.CapabilitiesForThisVersion()
	capabilities.Builtins = slices.DeleteFunc(capabilities.Builtins, (*ast.Builtin).IsNondeterministic)
	compiler := ast.NewCompiler().WithCapabilities(capabilities).WithStrict(true)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, fmt.Errorf("compile policies of %s: %w", b.Origin, compiler.Errors)
	}
	return compiler, nil
}

// Policy identifies the bundle.
func (c *Classifier) Policy() v1alpha1.Policy { return c.policy }

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
	// InputSHA256 is the hex digest of the input's JSON form.
	InputSHA256 string
	// PolicyError says why a default was used, in words that depend on the input
	// only; empty if the policies decided.
	PolicyError string
	// PolicyDetail says so in the policy engine's words, which may vary. It belongs
	// into no audit event.
	PolicyDetail string
}

func newEvidence(inputSHA256 string, errs ...error) Evidence {
	e := Evidence{InputSHA256: inputSHA256}
	e.PolicyError, e.PolicyDetail = failures(errs...)
	return e
}

// Classify decides severity and environment. It returns an error only if ctx has
// ended.
func (c *Classifier) Classify(ctx context.Context, in Input) (Classification, error) {
	doc, sum, err := in.document()
	if err != nil {
		return Classification{}, err
	}
	severity, severityErr := c.verdict(ctx, querySeverity, doc, isSeverity)
	environment, environmentErr := c.verdict(ctx, queryEnvironment, doc, isEnvironment)
	if err := ctx.Err(); err != nil {
		return Classification{}, fmt.Errorf("classify: %w", err)
	}
	out := Classification{Evidence: newEvidence(sum, severityErr, environmentErr)}
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
	doc, sum, err := in.document()
	if err != nil {
		return Categorization{}, err
	}
	priority, priorityErr := c.verdict(ctx, queryPriority, doc, isPriority)
	business, businessErr := c.business(ctx, doc)
	if err := ctx.Err(); err != nil {
		return Categorization{}, fmt.Errorf("categorize: %w", err)
	}
	out := Categorization{Business: business, Evidence: newEvidence(sum, priorityErr, businessErr)}
	out.Priority = v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP3, Decision: undecided()}
	if priorityErr == nil {
		out.Priority = v1alpha1.PriorityDecision{Value: v1alpha1.Priority(priority.Value), Decision: priority.decision()}
	}
	return out, nil
}
