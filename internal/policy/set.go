package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"kubernaut.ai/api/v1alpha1"
)

// decisionRule is the name of the rules that answer the platform's questions, as in
// data.kubernaut.severity.decision.
const decisionRule = "decision"

// Set is a bundle that can be used. It is safe for concurrent use.
type Set struct {
	policy   v1alpha1.Policy
	content  string
	compiler *ast.Compiler
	prepared map[string]rego.PreparedEvalQuery
}

// Compile checks that a bundle can be used: it compiles, its tests pass, and it
// defines every decision of the built-in bundle. The error says where and what.
func Compile(ctx context.Context, b Bundle) (*Set, error) {
	required, err := requiredDecisions()
	if err != nil {
		return nil, err
	}
	modules, err := parse(&b, b.Modules)
	if err != nil {
		return nil, err
	}
	compiler, err := compile(&b, modules)
	if err != nil {
		return nil, err
	}
	s := &Set{
		policy:   v1alpha1.Policy{SHA256: b.SHA256, Origin: b.Origin},
		content:  b.content(),
		compiler: compiler,
		prepared: map[string]rego.PreparedEvalQuery{},
	}
	var missing []string
	for _, query := range required {
		if len(compiler.GetRules(ast.MustParseRef(query))) == 0 {
			missing = append(missing, query)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("policies of %s define no %s: a bundle replaces the built-in one as a whole, so copy what you do not change",
			b.Origin, strings.Join(missing, ", "))
	}
	results, err := RunTests(ctx, b)
	if err != nil {
		return nil, err
	}
	if failed := results.Failed(); len(failed) > 0 {
		return nil, fmt.Errorf("policies of %s: %d of %d tests failed; the first: %s", b.Origin, len(failed), len(results), failed[0])
	}
	for _, query := range required {
		if s.prepared[query], err = rego.New(rego.Query(query), rego.Compiler(compiler)).PrepareForEval(ctx); err != nil {
			return nil, fmt.Errorf("prepare %s of %s: %w", query, b.Origin, err)
		}
	}
	return s, nil
}

// BuiltInSet returns the embedded policies, ready for use.
func BuiltInSet(ctx context.Context) (*Set, error) {
	b, err := BuiltIn()
	if err != nil {
		return nil, err
	}
	return Compile(ctx, b)
}

// Policy identifies the bundle.
func (s *Set) Policy() v1alpha1.Policy { return s.policy }

// Decisions are the queries of the decisions that every Set defines, sorted.
func (s *Set) Decisions() []string { return slices.Sorted(maps.Keys(s.prepared)) }

// Eval asks for a decision, one of Decisions. The answer is as OPA gives it; without
// a result, no rule applies.
func (s *Set) Eval(ctx context.Context, decision string, input ast.Value) (rego.ResultSet, error) {
	prepared, ok := s.prepared[decision]
	if !ok {
		return nil, fmt.Errorf("evaluate %s: not a decision of the built-in policies", decision)
	}
	return prepared.Eval(ctx, rego.EvalParsedInput(input)) //nolint:wrapcheck // the caller names the decision
}

// requiredDecisions are the queries of the built-in bundle's decisions.
func requiredDecisions() ([]string, error) {
	b, err := BuiltIn()
	if err != nil {
		return nil, err
	}
	modules, err := parse(&b, b.Modules)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, module := range modules {
		for _, rule := range module.Rules {
			if rule.Head.Name.String() == decisionRule {
				found[module.Package.Path.String()+"."+decisionRule] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func parse(b *Bundle, sources map[string]string) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module, len(sources))
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		module, err := ast.ParseModuleWithOpts(name, sources[name], ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities()})
		if err != nil {
			return nil, fmt.Errorf("parse policies of %s: %w", b.Origin, err)
		}
		modules[name] = module
	}
	return modules, nil
}

func compile(b *Bundle, modules map[string]*ast.Module) (*ast.Compiler, error) {
	compiler := ast.NewCompiler().WithCapabilities(capabilities()).WithStrict(true)
	if compiler.Compile(modules); compiler.Failed() {
		if name := forbidden(compiler.Errors.Error()); name != "" {
			return nil, fmt.Errorf("compile policies of %s: %w: policies may not call %s, because decisions depend on the input alone",
				b.Origin, compiler.Errors, name)
		}
		return nil, fmt.Errorf("compile policies of %s: %w", b.Origin, compiler.Errors)
	}
	return compiler, nil
}
