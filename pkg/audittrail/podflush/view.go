package podflush

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// maxNamed bounds how many pods a text names.
const maxNamed = 10

// view is a workload and its pods as they were last seen. One goroutine owns it.
type view struct {
	workload   declaration
	selector   string
	pods       map[string]*corev1.Pod // by name
	workloadAt string                 // the versions to watch from
	podsAt     string
}

// waiting says what is missing before a flush of the pods can prove anything;
// nothing when the workload is stable.
func (v *view) waiting() []string {
	d := &v.workload
	var missing []string
	if d.deleted {
		missing = append(missing, "it is being deleted")
	}
	if d.observedGeneration < d.generation {
		missing = append(missing, fmt.Sprintf("its controller has observed generation %d of %d", d.observedGeneration, d.generation))
	}
	if d.ready < d.replicas {
		missing = append(missing, fmt.Sprintf("%d of %d replicas ready", d.ready, d.replicas))
	}
	if d.updated < d.needUpdated {
		missing = append(missing, fmt.Sprintf("%d of %d replicas updated", d.updated, d.needUpdated))
	}
	if d.existing > d.replicas {
		missing = append(missing, fmt.Sprintf("%d replicas exist where %d are declared", d.existing, d.replicas))
	}
	if len(v.pods) != int(d.replicas) {
		missing = append(missing, fmt.Sprintf("%d pods exist where %d are declared", len(v.pods), d.replicas))
	}
	return append(missing, v.unusablePods()...)
}

func (v *view) unusablePods() []string {
	var texts []string
	for _, name := range v.names() {
		if why := unusable(v.pods[name]); why != "" {
			texts = append(texts, fmt.Sprintf("pod %s %s", name, why))
		}
	}
	return abridge(texts)
}

// unusable says why a pod cannot flush everything that it may have accepted.
func unusable(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "is terminating"
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return fmt.Sprintf("has finished (%s)", pod.Status.Phase)
	case !slices.ContainsFunc(pod.Status.Conditions, isReady):
		return "is not ready"
	default:
		return ""
	}
}

func isReady(c corev1.PodCondition) bool {
	return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
}

// names are those of the pods, sorted.
func (v *view) names() []string { return slices.Sorted(maps.Keys(v.pods)) }

// changes says how the workload and its pods differ from an earlier view.
// A pod that has responded need not be ready any more.
func (v *view) changes(before *view) []string {
	var texts []string
	if v.workload.uid != before.workload.uid {
		texts = append(texts, "it was replaced")
	}
	for _, name := range before.names() {
		now, exists := v.pods[name]
		was := before.pods[name]
		switch {
		case !exists:
			texts = append(texts, fmt.Sprintf("pod %s is gone", name))
		case now.UID != was.UID:
			texts = append(texts, fmt.Sprintf("pod %s was replaced", name))
		case restarts(now) != restarts(was):
			texts = append(texts, fmt.Sprintf("pod %s was restarted", name))
		}
	}
	for _, name := range v.names() {
		if _, known := before.pods[name]; !known {
			texts = append(texts, fmt.Sprintf("pod %s is new", name))
		}
	}
	return abridge(texts)
}

func restarts(pod *corev1.Pod) int32 {
	var n int32
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			n += statuses[i].RestartCount
		}
	}
	return n
}

func abridge(texts []string) []string {
	if more := len(texts) - maxNamed; more > 0 {
		return append(texts[:maxNamed:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return texts
}

// takeWorkload takes over what a watch has shown.
func (v *view) takeWorkload(object runtime.Object, deleted bool) error {
	d, err := declarationOf(object)
	if err != nil {
		return err
	}
	if deleted || d.uid != v.workload.uid {
		return errDeleted
	}
	v.workload = d
	return nil
}

// takePod takes over what a watch has shown.
func (v *view) takePod(object runtime.Object, deleted bool) error {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("%T is no pod", object)
	}
	if !deleted {
		v.pods[pod.Name] = pod
		return nil
	}
	if known, exists := v.pods[pod.Name]; exists && known.UID == pod.UID {
		delete(v.pods, pod.Name)
	}
	return nil
}
