package signal_test

import (
	"encoding/json"
	"strings"
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	type labels map[string]string
	type target = v1alpha1.TargetResource
	tests := map[string]struct {
		labels labels
		want   target
	}{
		"pod":         {labels{"namespace": "a", "pod": "p"}, target{Kind: "Pod", Name: "p", Namespace: "a"}},
		"deployment":  {labels{"namespace": "a", "deployment": "d"}, target{Kind: "Deployment", Name: "d", Namespace: "a"}},
		"statefulset": {labels{"namespace": "a", "statefulset": "s"}, target{Kind: "StatefulSet", Name: "s", Namespace: "a"}},
		"daemonset":   {labels{"namespace": "a", "daemonset": "d"}, target{Kind: "DaemonSet", Name: "d", Namespace: "a"}},
		"job_name":    {labels{"namespace": "a", "job_name": "j"}, target{Kind: "Job", Name: "j", Namespace: "a"}},
		"cronjob":     {labels{"namespace": "a", "cronjob": "c"}, target{Kind: "CronJob", Name: "c", Namespace: "a"}},
		"claim": {
			labels{"namespace": "a", "persistentvolumeclaim": "c"}, target{Kind: "PersistentVolumeClaim", Name: "c", Namespace: "a"},
		},
		"autoscaler": {
			labels{"namespace": "a", "horizontalpodautoscaler": "h"}, target{Kind: "HorizontalPodAutoscaler", Name: "h", Namespace: "a"},
		},
		"node":                     {labels{"node": "n"}, target{Kind: "Node", Name: "n"}},
		"node of a scraped agent":  {labels{"namespace": "monitoring", "node": "n"}, target{Kind: "Node", Name: "n"}},
		"pod on a node":            {labels{"namespace": "a", "node": "n", "pod": "p"}, target{Kind: "Pod", Name: "p", Namespace: "a"}},
		"the scrape job is no job": {labels{"namespace": "a", "job": "kube-state-metrics"}, target{Kind: "Unknown", Name: "A", Namespace: "a"}},
		"nothing told":             {labels{}, target{Kind: "Unknown", Name: "A"}},
		"no name of an object":     {labels{"namespace": "a", "pod": "Not A Name", "node": "n"}, target{Kind: "Node", Name: "n"}},
		"too long a name":          {labels{"pod": strings.Repeat("p", 254)}, target{Kind: "Unknown", Name: "A"}},
		"no name of a namespace":   {labels{"namespace": "Not/One", "pod": "p"}, target{Kind: "Pod", Name: "p"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.labels["alertname"] = "A"
			text, err := json.Marshal(test.labels)
			if err != nil {
				t.Fatal(err)
			}
			n := parse(t, []byte(strings.Replace(valid, `{"alertname":"A"}`, string(text), 1)))
			if got := n.Observations[0].Spec.TargetResource; got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFingerprintTellsProblemsApart(t *testing.T) {
	t.Parallel()
	owner := v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "prod"}
	first := signal.Fingerprint("c", owner, "A")
	if len(first) != 64 || first != strings.ToLower(first) {
		t.Errorf("fingerprint %q is no hex SHA-256", first)
	}
	if first != signal.Fingerprint("c", owner, "A") {
		t.Error("the same problem has two fingerprints")
	}
	others := map[string]string{
		"cluster":   signal.Fingerprint("d", owner, "A"),
		"name":      signal.Fingerprint("c", owner, "B"),
		"owner":     signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout2", Namespace: "prod"}, "A"),
		"kind":      signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "StatefulSet", Name: "checkout", Namespace: "prod"}, "A"),
		"namespace": signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "dev"}, "A"),
		"moved boundary": signal.Fingerprint("cp", v1alpha1.TargetResource{
			Kind: "Deployment", Name: "checkout", Namespace: "rod",
		}, "A"),
	}
	for what, other := range others {
		if other == first {
			t.Errorf("another %s has the same fingerprint", what)
		}
	}
}

// The fingerprint is on stored requests: a change of the algorithm would open
// every problem a second time.
func TestFingerprintIsStable(t *testing.T) {
	t.Parallel()
	owner := v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "prod"}
	const want = "691c350966ab140a88a3c99230ac581c71b983221dd25e178cf6360b29617e7a"
	if got := signal.Fingerprint("prod-eu-1", owner, "KubePodCrashLooping"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
