package policy

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
)

// testTimeout bounds one test of a bundle, and testsTimeout all of them.
const (
	testTimeout  = 5 * time.Second
	testsTimeout = time.Minute
)

// TestResult is the result of one test of a bundle.
type TestResult struct {
	// Name is the test's rule, as in data.kubernaut.severity_test.test_words.
	Name string
	// File and Line of the test.
	File string
	Line int
	// Failure says why the test failed; empty if it passed.
	Failure string
}

// String is one line about the test.
func (r TestResult) String() string {
	text := fmt.Sprintf("%s (%s:%d)", r.Name, r.File, r.Line)
	if r.Failure != "" {
		text += ": " + r.Failure
	}
	return text
}

// TestResults are those of a bundle's tests, in the order in which they ran.
type TestResults []TestResult

// Failed returns the tests that did not pass.
func (r TestResults) Failed() TestResults {
	var failed TestResults
	for _, result := range r {
		if result.Failure != "" {
			failed = append(failed, result)
		}
	}
	return failed
}

// RunTests runs the tests of a bundle. A test whose name begins with todo_ fails:
// policies that decide are finished. The error says that tests could not be run.
func RunTests(ctx context.Context, b Bundle) (TestResults, error) {
	if len(b.Tests) == 0 {
		return nil, nil
	}
	modules, err := parse(&b, b.Modules)
	if err != nil {
		return nil, err
	}
	tests, err := parse(&b, b.Tests)
	if err != nil {
		return nil, err
	}
	maps.Copy(modules, tests)
	ctx, cancel := context.WithTimeout(ctx, testsTimeout)
	defer cancel()
	compiler := ast.NewCompiler().WithCapabilities(capabilities()).WithEnablePrintStatements(true)
	running, err := tester.NewRunner().SetCompiler(compiler).SetModules(modules).SetTimeout(testTimeout).
		CapturePrintOutput(true).RunTests(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("run the tests of the policies of %s: %w", b.Origin, err)
	}
	var results TestResults
	for result := range running {
		results = append(results, newTestResult(result))
	}
	if err := ctx.Err(); err != nil {
		return results, fmt.Errorf("run the tests of the policies of %s: %w", b.Origin, err)
	}
	return results, nil
}

func newTestResult(result *tester.Result) TestResult {
	r := TestResult{Name: result.Package + "." + result.Name}
	if result.Location != nil {
		r.File, r.Line = result.Location.File, result.Location.Row
	}
	switch {
	case result.Pass():
	case result.Error != nil:
		r.Failure = result.Error.Error()
	case result.Skip:
		r.Failure = "is skipped"
	default:
		r.Failure = "failed"
		if result.FailedAt != nil && result.FailedAt.Location != nil {
			r.Failure = fmt.Sprintf("failed at line %d: %s", result.FailedAt.Location.Row, result.FailedAt.Location.Text)
		}
		if output := strings.TrimSpace(string(result.Output)); output != "" {
			r.Failure += "; printed: " + output
		}
	}
	return r
}
