package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The bounds of an expression.
const (
	// maxConditionCost bounds one evaluation of a condition, in CEL's units: about one a step.
	maxConditionCost = 200_000
	// maxRuleCost bounds the worst case of a rule, which is known before it is evaluated.
	maxRuleCost = 100_000
	// checkEvery is how many steps of a loop may pass after the context has ended.
	checkEvery = 100
	// maxNesting bounds the nesting of an expression.
	maxNesting = 32
	// maxExpression bounds its length, in characters.
	maxExpression = 2048
)

// Condition is a compiled verification condition.
type Condition struct {
	program cel.Program
	// before are the paths that the expression selects from `before`.
	before [][]string
}

var conditionEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	return environment(cel.Variable("target", cel.DynType), cel.Variable("before", cel.DynType))
})

func environment(variables ...cel.EnvOption) (*cel.Env, error) {
	env, err := cel.NewEnv(append([]cel.EnvOption{
		ext.Strings(ext.StringsVersion(2)),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxExpression),
	}, variables...)...)
	if err != nil {
		return nil, fmt.Errorf("environment of CEL expressions: %w", err)
	}
	return env, nil
}

// CompileCondition compiles a CEL expression over `target`, the live object, and `before`,
// the object before the execution. Visible says which fields they have.
func CompileCondition(expression string) (*Condition, error) {
	env, err := conditionEnvironment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("condition: %w", explain(issues, "target, the object now, and before, the object before the execution"))
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("condition is of type %s: it has to be true or false", t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxConditionCost), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	return &Condition{program, selected(ast, "before")}, nil
}

// explain says in one line what the compiler found, and where; kubectl's tables show no more. known are
// the variables of the expression.
func explain(issues *cel.Issues, known string) error {
	found := make([]string, 0, len(issues.Errors()))
	undeclared := false
	for _, issue := range issues.Errors() {
		where := fmt.Sprintf("character %d", issue.Location.Column()+1)
		if line := issue.Location.Line(); line > 1 {
			where = fmt.Sprintf("line %d, %s", line, where)
		}
		what, _, _ := strings.Cut(issue.Message, " (in container")
		undeclared = undeclared || strings.HasPrefix(what, "undeclared reference")
		found = append(found, where+": "+strings.Join(strings.Fields(what), " "))
	}
	text := strings.Join(found, "; ")
	if undeclared {
		text += ": the expression knows " + known
	}
	return errors.New(text)
}

// Holds evaluates the condition; before is what Before returned, or the target's identity. A field that an object lacks is an error, which says so:
// the condition should ask with has().
func (c *Condition) Holds(ctx context.Context, target, before *unstructured.Unstructured) (bool, error) {
	variables := map[string]any{"target": Visible(target), "before": Visible(before)}
	result, _, err := c.program.ContextEval(ctx, variables)
	if err != nil {
		return false, fmt.Errorf("evaluate the condition: %w", err)
	}
	holds, ok := result.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the condition is of type %s: it has to be true or false", result.Type().TypeName())
	}
	return holds, nil
}

// rule is a compiled rule of a parameter.
type rule struct {
	program cel.Program
}

// compileRule compiles a CEL expression over `value`, of a type and of at most so many bytes.
func compileRule(expression string, of *cel.Type, maxLength int32) (*rule, error) {
	env, err := environment(cel.Variable("value", of))
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("rule: %w", explain(issues, fmt.Sprintf("value, of type %s", of)))
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("rule is of type %s: it has to be true or false", ast.OutputType())
	}
	cost, err := env.EstimateCost(ast, sizes{uint64(max(maxLength, 0))})
	if err != nil {
		return nil, fmt.Errorf("cost of the rule: %w", err)
	}
	if cost.Max > maxRuleCost {
		return nil, fmt.Errorf("rule may cost %d steps, more than %d: simplify it, or bound the value with maxLength", cost.Max, maxRuleCost)
	}
	program, err := env.Program(ast, cel.CostLimit(maxRuleCost), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return &rule{program}, nil
}

func (r *rule) holds(value any) error {
	result, _, err := r.program.Eval(map[string]any{"value": value})
	if err != nil {
		return fmt.Errorf("evaluate the rule: %w", err)
	}
	if holds, ok := result.Value().(bool); !ok || !holds {
		return errors.New("the rule does not hold")
	}
	return nil
}

// sizes tells the estimate how long a parameter's value can be.
type sizes struct {
	maxLength uint64
}

// EstimateSize implements checker.CostEstimator.
func (s sizes) EstimateSize(element checker.AstNode) *checker.SizeEstimate {
	if path := element.Path(); len(path) == 1 && path[0] == "value" {
		return &checker.SizeEstimate{Min: 0, Max: s.maxLength}
	}
	return nil
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
