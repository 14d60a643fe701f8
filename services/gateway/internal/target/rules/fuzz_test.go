package rules_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"testing"
	"time"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

// The bounds of one evaluation, far above what any takes: they catch growth, not noise.
const (
	maxTime  = 2 * time.Second
	maxBytes = 64 << 20
)

// FuzzEvaluate gives labels to the built-in rules: the target is one that can
// exist, is the same each time, and costs bounded time and memory.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{
		`{"alertname":"A","namespace":"a","pod":"p"}`,
		`{"namespace":"shop","job":"kube-state-metrics","pod":"k-kube-state-metrics-1","service":"k-kube-state-metrics","deployment":"d"}`,
		`{"namespace":"monitoring","job":"node-exporter","pod":"p","instance":"[::1]:9100","nodename":"n1"}`,
		`{"namespace":"monitoring","job":"kube-state-metrics","exported_namespace":"pay","exported_pod":"p","exported_":"x"}`,
		`{"namespace":"a","k8s.pod.name":"p","k8s..name":"x","k8s__name":"y"}`,
		`{"namespace":"default","name":"v1beta1.metrics.k8s.io","job":"apiserver","instance":"10.0.0.1:6443"}`,
		`{"namespace":"a","rollout":"web","":"","severity":"none\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	set, err := rules.BuiltIn()
	if err != nil {
		f.Fatal(err)
	}
	c := cluster{kinds: map[string]string{"rollout": "Rollout.argoproj.io"}, nodeAt: map[string]string{"10.0.0.1": "n1"}}
	f.Fuzz(func(t *testing.T, input []byte) {
		var l labels
		if json.Unmarshal(input, &l) != nil || len(l) > 128 {
			return // an adapter takes no such labels
		}
		first := evaluateBounded(t, set, l, c)
		if second := evaluateBounded(t, set, l, c); first.Rule != second.Rule || first.Object != second.Object {
			t.Errorf("got %v by %s, then %v by %s", first.Object, first.Rule, second.Object, second.Rule)
		}
		if first.Known && !first.Object.Valid() {
			t.Errorf("no object can be named %+v", first.Object)
		}
		for _, failure := range first.Failures {
			t.Errorf("built-in rule %s: %v", failure.Rule, failure.Err)
		}
	})
}

// FuzzParse reads files of rules: a mistake has a place, and a file that is taken
// can be evaluated within the bounds.
func FuzzParse(f *testing.F) {
	f.Add("rules:\n- name: a\n  when: labels.all(a, labels.all(b, a != b))\n  target: object(\"Pod\", labels.pod)\n")
	f.Add("rules:\n- name: a\n  target: |\n    object(\"Pod\",\n      nope)\n")
	f.Add("rules:\n- name: a\n  target: object(\"Pod\", labels.pod.replace(\"\", labels.pod))\n")
	f.Add("trustedExporters:\n- name: a\n  jobs: [a]\n  namespaces: [b]\n  withoutJob: true\nvariables:\n- name: v\n  expression: 'true'\n")
	f.Add("rules: &a\n- *a\n")
	f.Add("rules:\n- name: a\n  target: \"unknown(\\u0000)\"\n- {}\n---\n")
	base, err := rules.BuiltIn()
	if err != nil {
		f.Fatal(err)
	}
	l := labels{"namespace": "a", "pod": "some-pod-with-a-name", "job": "j", "container": "c"}
	f.Fuzz(func(t *testing.T, content string) {
		began := time.Now()
		set, err := rules.Parse("file", []byte(content), base)
		if took := time.Since(began); took > maxTime {
			t.Errorf("took %v", took)
		}
		if err == nil {
			evaluateBounded(t, set, l, cluster{})
			return
		}
		invalid, ok := errors.AsType[*rules.InvalidError](err)
		if !ok {
			t.Fatalf("got %v, want an InvalidError", err)
		}
		for _, p := range invalid.Problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("got %+v", p)
			}
		}
	})
}

func evaluateBounded(t *testing.T, set *rules.Set, l labels, c rules.Cluster) rules.Decision {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	d, err := set.Evaluate(t.Context(), l, c)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; took > maxTime || allocated > maxBytes {
		t.Errorf("took %v and %d bytes", took, allocated)
	}
	return d
}
