package target_test

import (
	"strings"
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/target"
)

func TestTargetsOfLabels(t *testing.T) {
	t.Parallel()
	type labels map[string]string
	type object = v1alpha1.TargetResource
	tests := map[string]struct {
		labels labels
		want   object
	}{
		"pod":         {labels{"namespace": "a", "pod": "p"}, object{Kind: "Pod", Name: "p", Namespace: "a"}},
		"deployment":  {labels{"namespace": "a", "deployment": "d"}, object{Kind: "Deployment", Name: "d", Namespace: "a"}},
		"statefulset": {labels{"namespace": "a", "statefulset": "s"}, object{Kind: "StatefulSet", Name: "s", Namespace: "a"}},
		"daemonset":   {labels{"namespace": "a", "daemonset": "d"}, object{Kind: "DaemonSet", Name: "d", Namespace: "a"}},
		"job_name":    {labels{"namespace": "a", "job_name": "j"}, object{Kind: "Job", Name: "j", Namespace: "a"}},
		"cronjob":     {labels{"namespace": "a", "cronjob": "c"}, object{Kind: "CronJob", Name: "c", Namespace: "a"}},
		"claim": {
			labels{"namespace": "a", "persistentvolumeclaim": "c"}, object{Kind: "PersistentVolumeClaim", Name: "c", Namespace: "a"},
		},
		"autoscaler": {
			labels{"namespace": "a", "horizontalpodautoscaler": "h"}, object{Kind: "HorizontalPodAutoscaler", Name: "h", Namespace: "a"},
		},
		"node":                             {labels{"node": "n"}, object{Kind: "Node", Name: "n"}},
		"node of an agent that is scraped": {labels{"namespace": "monitoring", "node": "n"}, object{Kind: "Node", Name: "n"}},
		"pod on a node":                    {labels{"namespace": "a", "node": "n", "pod": "p"}, object{Kind: "Pod", Name: "p", Namespace: "a"}},
		"scrape job":                       {labels{"namespace": "a", "job": "kube-state-metrics"}, object{Kind: "Unknown", Name: "A", Namespace: "a"}},
		"no label":                         {labels{}, object{Kind: "Unknown", Name: "A"}},
		"invalid object name":              {labels{"namespace": "a", "pod": "Not A Name", "node": "n"}, object{Kind: "Node", Name: "n"}},
		"name too long":                    {labels{"pod": strings.Repeat("p", 254)}, object{Kind: "Unknown", Name: "A"}},
		"invalid namespace":                {labels{"namespace": "Not/One", "pod": "p"}, object{Kind: "Pod", Name: "p"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := target.FromLabels(test.labels, "A"); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
