package catalog_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
)

var deployment = v1alpha1.WorkflowKind{APIVersion: "apps/v1", Kind: "Deployment"}

func scale() *v1alpha1.RemediationWorkflow {
	return &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kubernaut-workflows", Name: "scale"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description:        "Sets the replicas",
			AppliesTo:          v1alpha1.AppliesTo{Signals: []string{"HighLatency"}, Kinds: []v1alpha1.WorkflowKind{deployment}},
			Parameters:         []v1alpha1.WorkflowParameter{{Name: "replicas", Type: v1alpha1.ParameterInteger, Required: true, Rule: "value % 2 == 0"}},
			Action:             &v1alpha1.WorkflowAction{Scale: &v1alpha1.ScaleAction{MinReplicas: 2, MaxReplicas: 6}},
			ServiceAccountName: "workflow-scale",
			Risk:               v1alpha1.RiskMedium,
			Timeout:            metav1.Duration{Duration: 5 * time.Minute},
			Verification:       v1alpha1.WorkflowVerification{Condition: "target.status.readyReplicas >= 2"},
		},
	}
}

func TestDigestIsTheSameBeforeAndAfterDefaulting(t *testing.T) {
	before, after := scale().Spec, scale().Spec
	before.Timeout.Duration = 0
	after.Timeout.Duration, after.GitOps = 5*time.Minute, v1alpha1.GitOpsPropose
	after.Parameters = []v1alpha1.WorkflowParameter{before.Parameters[0]}
	after.Parameters[0].MaxLength = 253
	if digest(t, &before) != digest(t, &after) {
		t.Error("the API server's defaults change the digest")
	}
	after.CoolDown.Duration = time.Second
	if digest(t, &before) == digest(t, &after) {
		t.Error("a cool-down of 0 s and one of 1 s have one digest")
	}
}

func digest(t *testing.T, spec *v1alpha1.RemediationWorkflowSpec) string {
	t.Helper()
	d, err := catalog.Digest(spec)
	if err != nil || len(d) != 64 {
		t.Fatalf("%q %v", d, err)
	}
	return d
}

func TestMatches(t *testing.T) {
	problem := catalog.Problem{
		SignalName: "HighLatency", APIVersion: "apps/v1", Kind: "Deployment",
		NamespaceLabels: map[string]string{"team": "shop"}, Severity: v1alpha1.SeverityHigh,
	}
	for name, c := range map[string]struct {
		change func(a *v1alpha1.AppliesTo, p *catalog.Problem)
		want   bool
	}{
		"all parts match":       {func(*v1alpha1.AppliesTo, *catalog.Problem) {}, true},
		"another signal":        {func(_ *v1alpha1.AppliesTo, p *catalog.Problem) { p.SignalName = "Other" }, false},
		"any signal":            {func(a *v1alpha1.AppliesTo, _ *catalog.Problem) { a.Signals = []string{"*"} }, true},
		"another kind":          {func(_ *v1alpha1.AppliesTo, p *catalog.Problem) { p.Kind = "StatefulSet" }, false},
		"a kind of other group": {func(_ *v1alpha1.AppliesTo, p *catalog.Problem) { p.APIVersion = "example.com/v1" }, false},
		"the severity": {func(a *v1alpha1.AppliesTo, _ *catalog.Problem) {
			a.Severities = []v1alpha1.Severity{v1alpha1.SeverityLow, v1alpha1.SeverityHigh}
		}, true},
		"another severity": {func(a *v1alpha1.AppliesTo, _ *catalog.Problem) {
			a.Severities = []v1alpha1.Severity{v1alpha1.SeverityLow}
		}, false},
		"the namespace": {func(a *v1alpha1.AppliesTo, _ *catalog.Problem) {
			a.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}
		}, true},
		"another namespace": {func(a *v1alpha1.AppliesTo, _ *catalog.Problem) {
			a.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "other"}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			wf, p := scale(), problem
			c.change(&wf.Spec.AppliesTo, &p)
			got, err := catalog.Matches(wf, p)
			if err != nil || got != c.want {
				t.Errorf("%v %v", got, err)
			}
		})
	}
	wf := scale()
	wf.Spec.AppliesTo.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	if got, err := catalog.Matches(wf, problem); err == nil || got {
		t.Errorf("a selector that nobody understands matches: %v %v", got, err)
	}
}

func TestResolveParametersNamesEveryViolation(t *testing.T) {
	spec := scale().Spec
	spec.Parameters = append(spec.Parameters,
		v1alpha1.WorkflowParameter{Name: "zone", Type: v1alpha1.ParameterString, Pattern: "eu|us", MaxLength: 4},
		v1alpha1.WorkflowParameter{Name: "wait", Type: v1alpha1.ParameterDuration, Default: new("30s"), Rule: "value <= duration('1m')"},
		v1alpha1.WorkflowParameter{Name: "force", Type: v1alpha1.ParameterBoolean},
	)
	for name, c := range map[string]struct {
		given map[string]string
		want  string // the values, or what the error says
		fails bool
	}{
		"defaults fill in":          {map[string]string{"replicas": "4"}, "replicas=4 wait=30s", false},
		"everything is given":       {map[string]string{"replicas": "4", "zone": "eu", "wait": "1m", "force": "true"}, "replicas=4 zone=eu wait=1m force=true", false},
		"required":                  {nil, "parameter replicas is required", true},
		"below the bounds":          {map[string]string{"replicas": "0"}, "0 is not between 2 and 6", true},
		"above the bounds":          {map[string]string{"replicas": "8"}, "8 is not between 2 and 6", true},
		"against the rule":          {map[string]string{"replicas": "3"}, "the rule does not hold", true},
		"no integer":                {map[string]string{"replicas": "4x"}, `"4x" is no integer`, true},
		"matches in part only":      {map[string]string{"replicas": "4", "zone": "euro"}, "does not match pattern", true},
		"a line more":               {map[string]string{"replicas": "4", "zone": "eu\n"}, "does not match pattern", true},
		"too long":                  {map[string]string{"replicas": "4", "zone": "eueue"}, "5 bytes, more than 4", true},
		"no duration":               {map[string]string{"replicas": "4", "wait": "soon"}, "is no duration", true},
		"too long a duration":       {map[string]string{"replicas": "4", "wait": "61s"}, "the rule does not hold", true},
		"no boolean":                {map[string]string{"replicas": "4", "force": "yes"}, "neither true nor false", true},
		"unknown":                   {map[string]string{"replicas": "4", "namespace": "other"}, `parameter "namespace" is unknown`, true},
		"the first of two mistakes": {map[string]string{"replicas": "3", "zone": "mars"}, "parameter replicas", true},
		"the other of two mistakes": {map[string]string{"replicas": "3", "zone": "mars"}, "parameter zone", true},
	} {
		t.Run(name, func(t *testing.T) {
			resolved, err := catalog.ResolveParameters(&spec, c.given)
			if c.fails {
				if err == nil || resolved != nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v %v", resolved, err)
				}
				return
			}
			values := make([]string, len(resolved))
			for i, p := range resolved {
				values[i] = p.Name + "=" + p.Value
			}
			if got := strings.Join(values, " "); err != nil || got != c.want {
				t.Errorf("%s %v", got, err)
			}
		})
	}
}

func TestConditionIsEvaluatedWithinItsCost(t *testing.T) {
	object := func(ready int64, items int) *unstructured.Unstructured {
		list := make([]any, items)
		for i := range list {
			list[i] = int64(i)
		}
		return &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"ready": ready}, "list": list}}
	}
	for name, c := range map[string]struct {
		expression string
		items      int
		holds      bool
		fails      string
	}{
		"holds":                     {"target.status.ready >= before.status.ready", 0, true, ""},
		"does not hold":             {"target.status.ready < 2", 0, false, ""},
		"a field is absent":         {"target.status.absent == 1", 0, false, "absent"},
		"an absent field asked for": {"!has(target.status.absent)", 0, true, ""},
		"no boolean":                {"target.status.ready", 0, false, "true or false"},
		"too much work":             {"target.list.all(a, target.list.all(b, target.list.all(c, a + b + c >= 0)))", 100, false, "cost"},
	} {
		t.Run(name, func(t *testing.T) {
			condition, err := catalog.CompileCondition(c.expression)
			if err != nil {
				t.Fatal(err)
			}
			holds, err := condition.Holds(t.Context(), object(3, c.items), object(2, 0))
			if holds != c.holds || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v %v", holds, err)
			}
		})
	}
	for _, expression := range []string{"", "target.", "'text'", "1 + 1", "unknown == 1", strings.Repeat("!", 4000) + "true"} {
		if _, err := catalog.CompileCondition(expression); err == nil {
			t.Errorf("%.40q compiles", expression)
		}
	}
}

// kubectl cuts a table's cell at the first line break, so what is wrong is one line: where, what, and
// what would be right.
func TestWhatIsWrongWithAnExpressionIsOneLine(t *testing.T) {
	t.Parallel()
	const knows = "the expression knows target, the object now, and before, the object before the execution"
	for expression, want := range map[string]string{
		"object.spec.replicas > 1":               `condition: character 1: undeclared reference to 'object': ` + knows,
		"target.a == 1 &&\n  foo":                `condition: line 2, character 3: undeclared reference to 'foo': ` + knows,
		"foo > bar":                              `condition: character 1: undeclared reference to 'foo'; character 7: undeclared reference to 'bar': ` + knows,
		"target.status.ready = 3":                `condition: character 21: Syntax error: token recognition error at: '= '`,
		"size(target.spec)":                      `condition is of type int: it has to be true or false`,
		"target.spec.replicas.lenght() > 'text'": `condition: character 28: undeclared reference to 'lenght': ` + knows,
	} {
		_, err := catalog.CompileCondition(expression)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %v\nwant %s", expression, err, want)
		}
	}
}
