package podflush

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func readyPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid of " + name)},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "service"}},
		},
	}
}

// stableView is a view of a stable workload of two pods.
func stableView() *view {
	return &view{
		workload: declaration{
			uid: "workload", generation: 2, observedGeneration: 2,
			replicas: 2, needUpdated: 2, existing: 2, updated: 2, ready: 2,
		},
		pods: map[string]*corev1.Pod{"a": readyPod("a"), "b": readyPod("b")},
	}
}

func TestWaitingNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*view)
		want   []string
	}{
		"nothing":          {func(*view) {}, nil},
		"being deleted":    {func(v *view) { v.workload.deleted = true }, []string{"it is being deleted"}},
		"not observed":     {func(v *view) { v.workload.generation = 3 }, []string{"its controller has observed generation 2 of 3"}},
		"not ready":        {func(v *view) { v.workload.ready = 1 }, []string{"1 of 2 replicas ready"}},
		"not updated":      {func(v *view) { v.workload.updated = 0 }, []string{"0 of 2 replicas updated"}},
		"too many":         {func(v *view) { v.workload.existing = 3 }, []string{"3 replicas exist where 2 are declared"}},
		"a pod is missing": {func(v *view) { delete(v.pods, "a") }, []string{"1 pods exist where 2 are declared"}},
		"a pod too many":   {func(v *view) { v.pods["c"] = readyPod("c") }, []string{"3 pods exist where 2 are declared"}},
		"unready pods": {func(v *view) {
			v.pods["a"].Status.Conditions[0].Status = corev1.ConditionUnknown
			v.pods["b"].Status.Conditions = nil
		}, []string{"pod a is not ready", "pod b is not ready"}},
		"terminating":   {func(v *view) { v.pods["b"].DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, []string{"pod b is terminating"}},
		"finished":      {func(v *view) { v.pods["b"].Status.Phase = corev1.PodSucceeded }, []string{"pod b has finished (Succeeded)"}},
		"several":       {func(v *view) { v.workload.ready, v.workload.updated = 1, 1 }, []string{"1 of 2 replicas ready", "1 of 2 replicas updated"}},
		"none declared": {func(v *view) { v.workload = declaration{}; v.pods = nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := stableView()
			test.change(v)
			if got := v.waiting(); !slices.Equal(got, test.want) {
				t.Errorf("waiting for %q, want %q", got, test.want)
			}
		})
	}
}

func TestTextsNameABoundedNumberOfPods(t *testing.T) {
	t.Parallel()
	v := &view{pods: map[string]*corev1.Pod{}}
	for i := range 12 {
		pod := readyPod(fmt.Sprintf("pod-%02d", i))
		pod.Status.Conditions = nil
		v.pods[pod.Name] = pod
	}
	got := v.unusablePods()
	if len(got) != maxNamed+1 || got[maxNamed] != "and 2 more" {
		t.Errorf("texts %q", got)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*view)
		want   []string
	}{
		"none":                   {func(*view) {}, nil},
		"readiness is no change": {func(v *view) { v.pods["a"].Status.Conditions = nil; v.workload.ready = 0 }, nil},
		"another workload":       {func(v *view) { v.workload.uid = "other" }, []string{"it was replaced"}},
		"a pod is gone":          {func(v *view) { delete(v.pods, "b") }, []string{"pod b is gone"}},
		"another pod":            {func(v *view) { v.pods["b"].UID = "other" }, []string{"pod b was replaced"}},
		"another process":        {func(v *view) { v.pods["a"].Status.ContainerStatuses[0].RestartCount = 1 }, []string{"pod a was restarted"}},
		"one pod for another": {func(v *view) {
			delete(v.pods, "a")
			v.pods["c"] = readyPod("c")
		}, []string{"pod a is gone", "pod c is new"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := stableView()
			test.change(now)
			if got := now.changes(stableView()); !slices.Equal(got, test.want) {
				t.Errorf("changes %q, want %q", got, test.want)
			}
		})
	}
}

func TestThePodThatSucceedsAnotherOutlivesTheNewsOfItsEnd(t *testing.T) {
	t.Parallel()
	v := stableView()
	successor := readyPod("a")
	successor.UID = "successor"
	for _, step := range []struct {
		pod     *corev1.Pod
		deleted bool
		want    int
	}{{successor, false, 2}, {readyPod("a"), true, 2}, {successor, true, 1}} {
		if err := v.takePod(step.pod, step.deleted); err != nil || len(v.pods) != step.want {
			t.Errorf("%d pods, want %d; error %v", len(v.pods), step.want, err)
		}
	}
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	partition := func(n int32) appsv1.StatefulSetUpdateStrategy {
		return appsv1.StatefulSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n}}
	}
	for name, test := range map[string]struct {
		replicas              *int32
		strategy              appsv1.StatefulSetUpdateStrategy
		declared, needUpdated int32
	}{
		"one is the default":                      {nil, appsv1.StatefulSetUpdateStrategy{}, 1, 1},
		"all":                                     {ptr.To[int32](3), partition(0), 3, 3},
		"what is held back":                       {ptr.To[int32](3), partition(1), 3, 2},
		"everything is held back":                 {ptr.To[int32](3), partition(7), 3, 0},
		"who updates pods by deleting them":       {ptr.To[int32](3), appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}, 3, 0},
		"no partition stands for the whole of it": {ptr.To[int32](3), appsv1.StatefulSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{}}, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := declarationOf(&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: test.replicas, UpdateStrategy: test.strategy}})
			if err != nil || d.replicas != test.declared || d.needUpdated != test.needUpdated {
				t.Errorf("declares %d, needs %d updated, error %v", d.replicas, d.needUpdated, err)
			}
		})
	}
	if _, err := declarationOf(&corev1.Pod{}); err == nil {
		t.Error("a pod was taken for a workload")
	}
}

func TestASelectorMustSelect(t *testing.T) {
	t.Parallel()
	for _, selector := range []*metav1.LabelSelector{nil, {}} {
		if text, err := (&declaration{selector: selector}).podSelector(); err == nil {
			t.Errorf("selector %v is %q", selector, text)
		}
	}
	got, err := (&declaration{selector: &metav1.LabelSelector{
		MatchLabels:      map[string]string{"app": "gateway"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpExists}},
	}}).podSelector()
	if err != nil || got != "app=gateway,tier" {
		t.Errorf("selector %q, error %v", got, err)
	}
}

func TestPortOf(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{
			{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}},
			{Ports: []corev1.ContainerPort{{Name: "management", ContainerPort: 9090}}},
		},
		InitContainers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "sidecar", ContainerPort: 15000}}}},
	}}
	for port, want := range map[string]string{"management": "9090", "sidecar": "15000", "1234": "1234", "metrics": ""} {
		got, err := portOf(pod, port)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("port %s is %q, error %v", port, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), port) {
			t.Errorf("error %v does not name %q", err, port)
		}
	}
}
