package classify_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

// valid is a bundle with constant decisions.
const valid = `package kubernaut
severity.decision := {"value": "high", "source": "test", "confidence": 50}
environment.decision := {"value": "staging", "source": "test", "confidence": 50}
priority.decision := {"value": "P1", "source": "test", "confidence": 50}
business.decision := {"unit": "u", "serviceOwner": "o", "criticality": "low", "sla": "1h"}
remediation.decision := {"workflow": "", "parameters": {}, "approval": "required", "reason": "none"}
`

func newClassifier(t *testing.T, source string, o classify.Options) (*classify.Classifier, error) {
	t.Helper()
	bundle, err := policy.Load(fstest.MapFS{"p/policy.rego": {Data: []byte(source)}}, "p", "test")
	if err != nil {
		t.Fatal(err)
	}
	return classify.New(compiled(t, bundle), o)
}

func builtIn(t *testing.T) *classify.Classifier {
	t.Helper()
	set, err := policy.BuiltInSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := classify.New(func() *policy.Set { return set }, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func compiled(t *testing.T, b policy.Bundle) classify.Policies {
	t.Helper()
	set, err := policy.Compile(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return func() *policy.Set { return set }
}

// now is when the policies of these tests decide.
var now = time.Date(2026, time.March, 1, 8, 0, 0, 0, time.UTC)

func signal(severity, namespace string, labels map[string]string) *v1alpha1.Signal {
	return &v1alpha1.Signal{
		SignalName: "KubePodCrashLooping", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "alertmanager", Severity: severity, Labels: labels,
		TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "web-0", Namespace: namespace},
	}
}

func TestSeverityOfSourceValues(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for want, words := range map[v1alpha1.Severity][]string{
		v1alpha1.SeverityCritical: {"critical", "CRITICAL", "crit", "fatal", "emergency", "panic", "disaster", "page", "blocker", "Sev0", "Sev1", "sev-1", "SEV 1", "P0", "P1"},
		v1alpha1.SeverityHigh:     {"high", "High", "error", "err", "major", "severe", "Sev2", "sev_2", "P2"},
		v1alpha1.SeverityMedium:   {"medium", "moderate", "average", "warning", "Warning", "warn", "minor", "Sev3", "P3"},
		v1alpha1.SeverityLow:      {"low", "info", "informational", "notice", "normal", "debug", "none", "Sev4", "Sev5", "P4", "P5"},
		v1alpha1.SeverityUnknown:  {"", " ", "purple", "sev9", "critical-ish", "1"},
	} {
		for _, word := range words {
			got, err := c.Classify(t.Context(), classify.NewInput(now, signal(word, "shop", nil), nil))
			if err != nil {
				t.Fatal(err)
			}
			if got.Severity.Value != want || got.PolicyError != "" {
				t.Errorf("severity of %q = %+v %s, want %s", word, got.Severity, got.PolicyError, want)
			}
		}
	}
}

func TestEnvironmentByBestEvidence(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, test := range map[string]struct {
		namespace       string
		namespaceLabels map[string]string
		targetLabels    map[string]string
		signalLabels    map[string]string
		want            v1alpha1.Environment
		source          string
		confidence      int32
	}{
		"namespace label": {
			"prod-shop",
			map[string]string{"environment": "Staging"},
			map[string]string{"env": "dev"},
			map[string]string{"cluster": "prod"},
			v1alpha1.EnvironmentStaging, "namespace-label", 95,
		},
		"target label": {
			"prod-shop",
			map[string]string{"environment": "blue"},
			map[string]string{"env": "dev"},
			map[string]string{"cluster": "prod"},
			v1alpha1.EnvironmentDevelopment, "target-label", 85,
		},
		"namespace name": {"prod-shop", nil, nil, map[string]string{"cluster": "dev"}, v1alpha1.EnvironmentProduction, "namespace-name", 70},
		"cluster":        {"shop", nil, nil, map[string]string{"cluster": "eu-test-1"}, v1alpha1.EnvironmentTest, "signal-cluster", 60},
		"nothing":        {"shop", nil, nil, nil, v1alpha1.EnvironmentUnknown, "default", 0},
		"no namespace":   {"", nil, map[string]string{"env": "live"}, nil, v1alpha1.EnvironmentProduction, "target-label", 85},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := &v1alpha1.EnrichedContext{NamespaceLabels: test.namespaceLabels, TargetLabels: test.targetLabels}
			got, err := c.Classify(t.Context(), classify.NewInput(now, signal("info", test.namespace, test.signalLabels), found))
			if err != nil {
				t.Fatal(err)
			}
			want := v1alpha1.EnvironmentDecision{Value: test.want, Decision: v1alpha1.Decision{Source: test.source, ConfidencePercent: test.confidence}}
			if got.Environment != want {
				t.Errorf("environment = %+v, want %+v", got.Environment, want)
			}
		})
	}
}

func TestNamespaceIsItsOwnNamespace(t *testing.T) {
	t.Parallel()
	s := signal("info", "", nil)
	s.TargetResource = v1alpha1.TargetResource{Kind: "Namespace", Name: "shop-prod"}
	got, err := builtIn(t).Classify(t.Context(), classify.NewInput(now, s, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Environment.Value != v1alpha1.EnvironmentProduction {
		t.Errorf("environment = %+v", got.Environment)
	}
}

func TestPriorityAndBusiness(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	in := classify.NewInput(now, signal("critical", "prod-shop", nil), &v1alpha1.EnrichedContext{
		NamespaceLabels:      map[string]string{"team": "checkout", "kubernaut.ai/criticality": "high"},
		NamespaceAnnotations: map[string]string{"kubernaut.ai/business-unit": "Retail & Online", "kubernaut.ai/sla": "4h"},
	})
	classified, err := c.Classify(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Decided(&classified.Severity, &classified.Environment)
	got, err := c.Categorize(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP0, Decision: v1alpha1.Decision{Source: "matrix", ConfidencePercent: 70}}
	if got.Priority != want {
		t.Errorf("priority = %+v, want %+v", got.Priority, want)
	}
	business := v1alpha1.Business{Unit: "Retail & Online", ServiceOwner: "checkout", Criticality: "high", SLA: "4h"}
	if got.Business != business {
		t.Errorf("business = %+v, want %+v", got.Business, business)
	}
	if got.InputSHA256 == classified.InputSHA256 {
		t.Error("the decisions are part of the input, but its digest did not change")
	}
}

func TestSameInputSameEvidence(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	labels := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}
	first, err := c.Classify(t.Context(), classify.NewInput(now, signal("critical", "shop", labels), nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := c.Classify(t.Context(), classify.NewInput(now, signal("critical", "shop", labels), nil))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, first) {
			t.Fatalf("%+v, then %+v", first, again)
		}
	}
	other, err := c.Classify(t.Context(), classify.NewInput(now, signal("critical", "shop", nil), nil))
	if err != nil {
		t.Fatal(err)
	}
	if other.InputSHA256 == first.InputSHA256 {
		t.Error("another input has the same digest")
	}
}

func TestFailedPolicyDecidesTheDefault(t *testing.T) {
	t.Parallel()
	endless := `{"value": x, "source": "test", "confidence": 1} if { x := count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i == j]) }`
	const answer = `{"value": "high", "source": "test", "confidence": 50}`
	conflict := `{"value": "high", "source": k, "confidence": 1} if some k, _ in input.signal.labels`
	for name, test := range map[string]struct{ replace, with, detail, stable string }{
		"off the scale": {
			`"value": "high"`, `"value": "enormous"`, `value "enormous" is not on the scale`,
			"severity_scale: the policy's answer is outside of its limits",
		},
		"confidence": {
			`"test", "confidence": 50`, `"test", "confidence": 101`, "confidence 101 is not between 0 and 100",
			"severity_scale: the policy's answer is outside of its limits",
		},
		"no source": {
			`"value": "high", "source": "test"`, `"value": "high"`, "source",
			"severity_scale: the policy's answer is outside of its limits",
		},
		"not an object":      {answer, `["high"]`, "unusable answer", "severity_answer: the policy's answer has another form"},
		"undefined":          {answer, `"x" if input.nothing`, "is undefined", "severity_undefined: no rule of the policy applies"},
		"longer than it may": {answer, endless, "took longer than", "severity_timeout: the policy took too long"},
		"two answers":        {answer, conflict, "eval_conflict_error", "severity_evaluation: the policy could not be evaluated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := strings.Replace(valid, test.replace, test.with, 1)
			if source == valid {
				t.Fatal("the replacement matched nothing")
			}
			var o classify.Options
			if test.with == endless {
				o.Deadline = 20 * time.Millisecond
			}
			c, err := newClassifier(t, source, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Classify(t.Context(), classify.NewInput(now, signal("info", "shop", map[string]string{"a": "1", "b": "2"}), nil))
			if err != nil {
				t.Fatal(err)
			}
			want := v1alpha1.SeverityDecision{Value: v1alpha1.SeverityUnknown, Decision: v1alpha1.Decision{Source: classify.SourcePolicyError}}
			if got.Severity != want {
				t.Errorf("severity = %+v, want %+v", got.Severity, want)
			}
			if got.PolicyError != test.stable || !strings.Contains(got.PolicyDetail, test.detail) {
				t.Errorf("reason = %q, want %q; in detail %q, want it to say %q", got.PolicyError, test.stable, got.PolicyDetail, test.detail)
			}
		})
	}
}

func TestFailedCategorizationIsP3(t *testing.T) {
	t.Parallel()
	source := strings.NewReplacer(`"P1"`, `"P9"`, `"low"`, `"enormous"`).Replace(valid)
	c, err := newClassifier(t, source, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Categorize(t.Context(), classify.NewInput(now, signal("info", "shop", nil), nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Priority.Value != v1alpha1.PriorityP3 || got.Priority.Source != classify.SourcePolicyError || got.Business != (v1alpha1.Business{Criticality: "unknown"}) {
		t.Errorf("got %+v", got)
	}
	if want := "priority_scale: the policy's answer is outside of its limits; business_scale: the policy's answer is outside of its limits"; got.PolicyError != want {
		t.Errorf("reason = %q, want %q", got.PolicyError, want)
	}
	for _, part := range []string{`"P9"`, `"enormous"`} {
		if !strings.Contains(got.PolicyDetail, part) {
			t.Errorf("detail = %q, want it to name %s", got.PolicyDetail, part)
		}
	}
}

func TestEndedContextDecidesNothing(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Classify(ctx, classify.NewInput(now, signal("info", "shop", nil), nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Classify: %v", err)
	}
	if _, err := c.Categorize(ctx, classify.NewInput(now, signal("info", "shop", nil), nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Categorize: %v", err)
	}
}

func TestANegativeDeadlineIsRejected(t *testing.T) {
	t.Parallel()
	if _, err := newClassifier(t, valid, classify.Options{Deadline: -1}); err == nil {
		t.Error("a negative deadline was accepted")
	}
}

func TestPoliciesMayChangeBetweenCalls(t *testing.T) {
	t.Parallel()
	var inForce *policy.Set
	c, err := classify.New(func() *policy.Set { return inForce }, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, severity := range []v1alpha1.Severity{v1alpha1.SeverityHigh, v1alpha1.SeverityLow} {
		source := strings.Replace(valid, `"high"`, `"`+string(severity)+`"`, 1)
		b, err := policy.Load(fstest.MapFS{"p/policy.rego": {Data: []byte(source)}}, "p", "test")
		if err != nil {
			t.Fatal(err)
		}
		inForce = compiled(t, b)()
		got, err := c.Classify(t.Context(), classify.NewInput(now, signal("info", "shop", nil), nil))
		if err != nil {
			t.Fatal(err)
		}
		if got.Severity.Value != severity || got.Policy != inForce.Policy() {
			t.Errorf("severity %s of policy %s, want %s of %s", got.Severity.Value, got.Policy.SHA256, severity, inForce.Policy().SHA256)
		}
		digests[got.Policy.SHA256] = true
	}
	if len(digests) != 2 {
		t.Errorf("policies %v", digests)
	}
}

func TestPoliciesSeeTheTimeOfTheInput(t *testing.T) {
	t.Parallel()
	source := strings.Replace(valid, `severity.decision := {"value": "high"`, `severity.decision := {"value": {true: "high", false: "low"}[startswith(input.now, "2026-03-01T08")]`, 1)
	c, err := newClassifier(t, source, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for want, at := range map[v1alpha1.Severity]time.Time{v1alpha1.SeverityHigh: now.In(time.FixedZone("east", 3600)), v1alpha1.SeverityLow: now.Add(time.Hour)} {
		got, err := c.Classify(t.Context(), classify.NewInput(at, signal("info", "shop", nil), nil))
		if err != nil {
			t.Fatal(err)
		}
		if got.Severity.Value != want {
			t.Errorf("at %s: %+v %s", at, got.Severity, got.PolicyDetail)
		}
		if !strings.Contains(string(got.Input), `"now":"`+at.UTC().Format(time.RFC3339)+`"`) {
			t.Errorf("the recorded input is %s", got.Input)
		}
	}
}
