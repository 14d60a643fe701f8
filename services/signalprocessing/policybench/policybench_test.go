package policybench_test

import (
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/policybench"
)

func evaluations(tb testing.TB) policybench.Evaluations {
	tb.Helper()
	e, err := policybench.New(tb.Context(), policybench.Signal{
		Signal: v1alpha1.Signal{
			SignalName: "KubePodCrashLooping", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "test", Severity: "warning",
			TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "web-0", Namespace: "shop"},
			Labels:         map[string]string{"alertname": "KubePodCrashLooping", "pod": "web-0", "namespace": "shop", "severity": "warning"},
		},
		Context: v1alpha1.EnrichedContext{NamespaceLabels: map[string]string{"env": "prod", "team": "checkout"}, TargetLabels: map[string]string{"app": "web"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestBothEvaluate(t *testing.T) {
	t.Parallel()
	e := evaluations(t)
	if err := e.Classify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Bare(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkClassify(b *testing.B) {
	e := evaluations(b)
	for b.Loop() {
		if err := e.Classify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBare(b *testing.B) {
	e := evaluations(b)
	for b.Loop() {
		if err := e.Bare(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
