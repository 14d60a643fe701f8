package rules

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
)

// RuleUnmatched is the name of the rule that decided when none did.
const RuleUnmatched = "none"

// Set is an ordered list of rules. It is immutable and safe for concurrent use.
type Set struct {
	exporters []Exporter
	variables []variable
	rules     []rule
}

type variable struct {
	name    string
	program *program
}

type rule struct {
	name   string
	when   *program // nil means always
	target *program
}

// program is a compiled expression.
type program struct {
	cel.Program

	// grows means that the expression takes more time than its size tells, so that
	// it needs a limit.
	grows bool
}

var identifier = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,62}$`)

// Failure is a rule that could not be evaluated; it decided nothing.
type Failure struct {
	Rule string
	Err  error
}

// Decision is the outcome of an evaluation.
type Decision struct {
	// Rule is the name of the rule that decided; [RuleUnmatched] if none did.
	Rule string
	// Object is the target, if Known.
	Object Object
	Known  bool
	// Namespace is the namespace that the labels name, for signals whose target
	// is not known; may be empty.
	Namespace string
	// Failures are the rules that could not be evaluated.
	Failures []Failure
}

// Parse reads the rules of a user. Their names begin with source and a slash, as
// in file/rollouts. They are tried before those of base, whose variables they can
// use, and replace the trusted exporters of base if they list any. The error is
// an *InvalidError.
func Parse(source string, content []byte, base *Set) (*Set, error) {
	f, err := parse(content)
	if err != nil {
		return nil, err
	}
	env, err := newEnvironment()
	if err != nil {
		return nil, err
	}
	set := &Set{exporters: base.exporters, variables: slices.Clone(base.variables)}
	if len(f.exporters) > 0 {
		set.exporters = f.exporters
	}
	for _, v := range base.variables {
		if env, err = env.Extend(cel.Variable(v.name, cel.BoolType)); err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.name, err)
		}
	}
	for _, v := range f.variables {
		if env = set.declare(f, env, v); env == nil {
			return nil, f.invalid()
		}
	}
	for _, r := range f.rules {
		set.addRule(f, env, source, r)
	}
	if err := f.invalid(); err != nil {
		return nil, err
	}
	set.rules = append(set.rules, base.rules...)
	return set, nil
}

// compile returns nil after it has noted what is wrong.
func compile(f *file, env *cel.Env, at *yaml.Node, n named, want *cel.Type) *program {
	text := f.text(at)
	if text == "" {
		return nil
	}
	expression, issues := env.Compile(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			p := n.position(at, e.Location.Line(), e.Location.Column())
			p.Message = fmt.Sprintf("%s: %s", n.name, e.Message)
			f.add(p)
		}
		return nil
	}
	if got := expression.OutputType(); !got.IsExactType(want) {
		p := n.position(at, 1, 0)
		p.Message = fmt.Sprintf("%s: want an expression of type %s, got %s", n.name, typeName(want), typeName(got))
		f.add(p)
		return nil
	}
	grows := grows(expression)
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if grows {
		options = append(options, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(checkEvery))
	}
	compiled, err := env.Program(expression, options...)
	if err != nil {
		f.addf(at, "%s: %v", n.name, err)
		return nil
	}
	return &program{compiled, grows}
}

// grows reports whether an expression has loops, or functions whose result can be
// much larger than their arguments. Counting the steps of all others would cost
// several times as much as the steps.
func grows(expression *cel.Ast) bool {
	grows := false
	ast.PreOrderVisit(expression.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind || e.Kind() == ast.CallKind && !boundedFunctions[e.AsCall().FunctionName()] {
			grows = true
		}
	}))
	return grows
}

// boundedFunctions take time, and give values, in proportion to their arguments.
//
//nolint:gochecknoglobals // constant
var boundedFunctions = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.In: true, operators.Index: true, operators.Add: true,
	"contains": true, "startsWith": true, "endsWith": true, "matches": true, "lowerAscii": true,
	"object": true, "unknown": true, "host": true, "has": true, "lacks": true, "customKind": true, "nodeOf": true, "nodeAt": true,
}

func typeName(t *cel.Type) string {
	if t.IsExactType(objectType) {
		return "object"
	}
	return t.String()
}

// Rules returns the names of the rules, in the order in which they are tried.
func (s *Set) Rules() []string {
	names := make([]string, len(s.rules))
	for i, r := range s.rules {
		names[i] = r.name
	}
	return names
}

// Evaluate decides which object labels are about. An error means that the
// cluster could not be asked, or that the context ended: trying again may help.
func (s *Set) Evaluate(ctx context.Context, received map[string]string, cluster Cluster) (Decision, error) {
	about := read(received, s.exporters)
	namespace := about.labels[labelNamespace]
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		namespace = ""
	}
	e := evaluation{ctx: ctx, cluster: &clusterValue{Cluster: cluster, ctx: ctx, namespace: namespace}}
	e.vars = bindings{
		"labels": newLabelMap(about.labels), "received": newLabelMap(received),
		"exporter": types.String(about.exporter), "foreign": types.Bool(about.foreign), "cluster": e.cluster,
	}
	d := Decision{Rule: RuleUnmatched, Namespace: namespace}
	for _, v := range s.variables {
		value, err := e.flag(v.program)
		if err != nil {
			d.Failures = append(d.Failures, Failure{Rule: v.name, Err: err})
		}
		e.vars[v.name] = types.Bool(value)
	}
	for _, r := range s.rules {
		o, err := e.apply(r)
		if fatal := e.fatal(); fatal != nil {
			return Decision{}, fmt.Errorf("target rule %s: %w", r.name, fatal)
		}
		switch {
		case err != nil:
			d.Failures = append(d.Failures, Failure{Rule: r.name, Err: err})
		case o == nil:
		case o.abstain:
			d.Rule = r.name
			return d, nil
		default:
			if object, ok := o.within(namespace); ok {
				d.Rule, d.Object, d.Known = r.name, object, true
				return d, nil
			}
		}
	}
	return d, nil
}

// declare compiles a variable, and returns the environment that has it; nil if it is invalid.
func (s *Set) declare(f *file, env *cel.Env, v named) *cel.Env {
	if !identifier.MatchString(v.name) {
		f.addf(v.at, "the name of a variable has letters and digits; got %q", v.name)
		return nil
	}
	for _, taken := range env.Variables() {
		if taken.Name() == v.name {
			f.addf(v.at, "the name %s is taken", v.name)
			return nil
		}
	}
	program := compile(f, env, v.value, v, cel.BoolType)
	if program == nil {
		return nil
	}
	extended, err := env.Extend(cel.Variable(v.name, cel.BoolType))
	if err != nil {
		f.addf(v.at, "variable %s: %v", v.name, err)
		return nil
	}
	s.variables = append(s.variables, variable{v.name, program})
	return extended
}

func (s *Set) addRule(f *file, env *cel.Env, source string, n named) {
	r := rule{name: n.name, target: compile(f, env, n.value, n, objectType)}
	if source != "" {
		r.name = source + "/" + n.name
	}
	if n.when != nil {
		r.when = compile(f, env, n.when, n, cel.BoolType)
	}
	s.rules = append(s.rules, r)
}

// evaluation is one evaluation of a set.
type evaluation struct {
	ctx     context.Context //nolint:containedctx // it lives for one call
	cluster *clusterValue
	vars    bindings
}

// bindings are the variables of an evaluation.
type bindings map[string]any

// ResolveName implements cel.Activation.
func (b bindings) ResolveName(name string) (any, bool) {
	value, ok := b[name]
	return value, ok
}

// Parent implements cel.Activation.
func (bindings) Parent() cel.Activation { return nil }

// fatal returns the error that ends the evaluation.
func (e *evaluation) fatal() error {
	if e.cluster.err != nil {
		return e.cluster.err
	}
	return e.ctx.Err() //nolint:wrapcheck // the caller names the rule
}

// apply returns what a rule names; nil if it does not match.
func (e *evaluation) apply(r rule) (*objectValue, error) {
	if r.when != nil {
		if matches, err := e.flag(r.when); err != nil || !matches {
			return nil, err
		}
	}
	value, err := e.value(r.target)
	if err != nil {
		return nil, err
	}
	o, _ := value.(objectValue)
	return &o, nil
}

func (e *evaluation) flag(p *program) (bool, error) {
	value, err := e.value(p)
	return err == nil && value == types.True, err
}

func (e *evaluation) value(p *program) (ref.Val, error) {
	if p.grows {
		value, _, err := p.ContextEval(e.ctx, e.vars)
		return value, err //nolint:wrapcheck // the caller names the rule
	}
	value, _, err := p.Eval(e.vars)
	return value, err //nolint:wrapcheck // the caller names the rule
}

// within returns the object, in the namespace that the labels name if it has to
// inherit one. It is false if no object can have this name.
func (o objectValue) within(namespace string) (Object, bool) {
	object := o.Object
	if object.Name == "" {
		return Object{}, false
	}
	if o.inherit {
		object.Namespace = namespace
	}
	if kind, ok := BuiltInKind(object.Kind); ok {
		if !kind.Namespaced {
			object.Namespace = ""
		} else if object.Namespace == "" {
			return Object{}, false
		}
	}
	return object, object.Valid()
}

// Valid reports whether an object could have this name.
func (o Object) Valid() bool {
	kind, group := o.SplitKind()
	if kind == "" || len(kind) > validation.DNS1123LabelMaxLength || strings.ContainsAny(kind, "/ ") ||
		group != "" && len(validation.IsDNS1123Subdomain(group)) > 0 {
		return false
	}
	if o.Namespace != "" && len(validation.IsDNS1123Label(o.Namespace)) > 0 {
		return false
	}
	if o.Name == "" || len(o.Name) > validation.DNS1123SubdomainMaxLength {
		return false
	}
	if looselyNamed[kind] {
		return len(content.IsPathSegmentName(o.Name)) == 0
	}
	return len(validation.IsDNS1123Subdomain(o.Name)) == 0
}

// looselyNamed are the kinds whose names may hold upper case and colons.
//
//nolint:gochecknoglobals // constant
var looselyNamed = map[string]bool{
	"ClusterRole": true, "ClusterRoleBinding": true, "Role": true, "RoleBinding": true, "CertificateSigningRequest": true,
}
