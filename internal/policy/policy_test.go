package policy_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/open-policy-agent/opa/v1/ast"

	"kubernaut.ai/internal/policy"
)

// valid is a bundle with constant decisions.
const valid = `package kubernaut
severity.decision := {"value": "high", "source": "test", "confidence": 50}
environment.decision := {"value": "staging", "source": "test", "confidence": 50}
priority.decision := {"value": "P1", "source": "test", "confidence": 50}
business.decision := {"unit": "u", "serviceOwner": "o", "criticality": "low", "sla": "1h"}
remediation.decision := {"workflow": "", "parameters": {}, "approval": "required", "reason": "none"}
`

const validTest = `package kubernaut_test
test_severity if data.kubernaut.severity.decision.value == "high"
`

func load(t *testing.T, files map[string]string) policy.Bundle {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys["p/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	b, err := policy.Load(fsys, "p", "test")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheBuiltInBundleIsUsable(t *testing.T) {
	t.Parallel()
	b, err := policy.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	results, err := policy.RunTests(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]int{}
	for _, result := range results {
		if result.Failure != "" {
			t.Error(result)
		}
		passed[result.Name[:strings.LastIndex(result.Name, ".")]]++
	}
	s, err := policy.Compile(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"data.kubernaut.business.decision", "data.kubernaut.environment.decision",
		"data.kubernaut.priority.decision", "data.kubernaut.remediation.decision", "data.kubernaut.severity.decision",
	}
	if !slices.Equal(s.Decisions(), want) {
		t.Errorf("decisions %v, want %v", s.Decisions(), want)
	}
	for _, decision := range want {
		if name := strings.TrimSuffix(decision, ".decision") + "_test"; passed[name] == 0 {
			t.Errorf("no test in %s", name)
		}
	}
	if s.Policy().SHA256 != b.SHA256 || s.Policy().Origin != policy.OriginBuiltIn {
		t.Errorf("policy %+v", s.Policy())
	}
}

func TestUnusableBundlesAreRejectedWithTheReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"syntax":           {map[string]string{"a.rego": valid + "\nx := {"}, []string{"policies of test", "a.rego:"}},
		"does not compile": {map[string]string{"a.rego": valid + "\nx := y\n"}, []string{"a.rego:8", "var y is unsafe"}},
		"a decision is missing": {
			map[string]string{"a.rego": strings.ReplaceAll(valid, "priority.decision", "priority.other")},
			[]string{"define no data.kubernaut.priority.decision", "copy what you do not change"},
		},
		"a test fails": {
			map[string]string{"a.rego": valid, "a_test.rego": strings.ReplaceAll(validTest, `"high"`, `"low"`)},
			[]string{"1 of 1 tests failed", "data.kubernaut_test.test_severity (a_test.rego:2)"},
		},
		"a test does not compile": {map[string]string{"a.rego": valid, "a_test.rego": validTest + "test_x if y\n"}, []string{"a_test.rego:3", "unsafe"}},
		"a test is skipped":       {map[string]string{"a.rego": valid, "a_test.rego": validTest + "todo_test_x if true\n"}, []string{"is skipped"}},
		"the network":             {map[string]string{"a.rego": valid + "x := http.send({})\n"}, []string{"may not call http.send", "a.rego:7"}},
		"the clock":               {map[string]string{"a.rego": valid + "x := time.now_ns()\n"}, []string{"may not call time.now_ns"}},
		"chance":                  {map[string]string{"a.rego": valid + "x := rand.intn(\"a\", 2)\n"}, []string{"may not call rand.intn"}},
		"the process":             {map[string]string{"a.rego": valid + "x := opa.runtime()\n"}, []string{"may not call opa.runtime"}},
		"the clock in a test":     {map[string]string{"a.rego": valid, "a_test.rego": validTest + "test_x if time.now_ns() > 0\n"}, []string{"time.now_ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.Compile(t.Context(), load(t, test.files))
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestOnlyRegoFilesOfTheDirectoryAreRead(t *testing.T) {
	t.Parallel()
	b := load(t, map[string]string{"a.rego": valid, "a_test.rego": validTest, "README.md": "no policy", "sub/b.rego": "no policy either"})
	if got := slices.Collect(maps.Keys(b.Modules)); !slices.Equal(got, []string{"a.rego"}) {
		t.Errorf("modules %v", got)
	}
	if got := slices.Collect(maps.Keys(b.Tests)); !slices.Equal(got, []string{"a_test.rego"}) {
		t.Errorf("tests %v", got)
	}
	without := load(t, map[string]string{"a.rego": valid})
	if b.SHA256 != without.SHA256 {
		t.Error("tests are part of the policy's digest")
	}
	other := load(t, map[string]string{"b.rego": valid})
	if b.SHA256 == other.SHA256 {
		t.Error("names of modules are not part of the policy's digest")
	}
	if _, err := policy.Load(fstest.MapFS{"p/README.md": {}}, "p", "test"); err == nil {
		t.Error("a directory without policies is a bundle")
	}
}

func TestTheFormOfTheDigestIsAPromise(t *testing.T) {
	t.Parallel()
	base := load(t, map[string]string{"a.rego": "package a"})
	// The trail of earlier versions names bundles by it.
	if want := "59340b50ee51b4c7a00b6204f41486ff82267b5f7101a582e46ecf996f83ebec"; base.SHA256 != want {
		t.Errorf("digest %s, want %s", base.SHA256, want)
	}
	if base.SHA256 == load(t, map[string]string{"a.rego": "package a\n"}).SHA256 {
		t.Error("a file's content did not change the digest")
	}
}

func TestEvalKnowsDecisionsOnly(t *testing.T) {
	t.Parallel()
	s, err := policy.Compile(t.Context(), load(t, map[string]string{"a.rego": valid}))
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.Eval(t.Context(), "data.kubernaut.priority.decision", ast.NewObject())
	if err != nil || len(results) != 1 {
		t.Errorf("got %v, %v", results, err)
	}
	if _, err := s.Eval(t.Context(), "data.kubernaut.nothing", ast.NewObject()); err == nil {
		t.Error("an unknown decision is evaluated")
	}
}
