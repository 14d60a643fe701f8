package demo

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// restarts is how often the container of the pod that crashes has started again.
const restarts = 7

// awaitPod waits until kube-controller-manager has made a pod of the Deployment, other than the one
// that is known already.
func (d *demo) awaitPod(ctx context.Context, known types.UID) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	which := &client.ListOptions{Namespace: namespace, LabelSelector: labels.SelectorFromSet(d.workload())}
	pod, err := await(ctx, d.cluster, &corev1.PodList{}, which, func(p *corev1.Pod) bool {
		return p.UID != known && p.DeletionTimestamp == nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait until kube-controller-manager has made a pod of Deployment %s: %w", d.app, err)
	}
	return pod, nil
}

// reportCrashing writes the status that a kubelet would write of a pod whose container crashes.
func (d *demo) reportCrashing(ctx context.Context, pod *corev1.Pod) error {
	return d.report(ctx, pod, corev1.ConditionFalse, "ContainersNotReady", corev1.ContainerStatus{
		Name: container, Image: pod.Spec.Containers[0].Image, RestartCount: restarts,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container=" + container,
		}},
	})
}

// reportReady writes the status that a kubelet would write of a pod that runs.
func (d *demo) reportReady(ctx context.Context, pod *corev1.Pod) error {
	return d.report(ctx, pod, corev1.ConditionTrue, "", corev1.ContainerStatus{
		Name: container, Image: pod.Spec.Containers[0].Image, Ready: true, Started: new(true),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now())}},
	})
}

func (d *demo) report(ctx context.Context, pod *corev1.Pod, ready corev1.ConditionStatus, reason string, state corev1.ContainerStatus) error {
	before := pod.DeepCopy()
	now := metav1.NewTime(time.Now())
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{state}
	pod.Status.Conditions = nil
	for _, condition := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: condition, Status: ready, Reason: reason, LastTransitionTime: now,
		})
	}
	if err := d.cluster.Status().Patch(ctx, pod, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("report the state of pod %s: %w", pod.Name, err)
	}
	what := "ready"
	if ready != corev1.ConditionTrue {
		what = "crash-looping"
	}
	d.sayf("demo: pod %s reported as %s, in place of a kubelet", pod.Name, what)
	return nil
}

// awaitReplaced waits until the Deployment has only the new pod.
func (d *demo) awaitReplaced(ctx context.Context, old *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := await(ctx, d.cluster, &appsv1.DeploymentList{}, named(d.app), func(o *appsv1.Deployment) bool {
		s := &o.Status
		return s.ObservedGeneration >= o.Generation && s.UpdatedReplicas == *o.Spec.Replicas && s.ReadyReplicas == *o.Spec.Replicas && s.Replicas == *o.Spec.Replicas
	})
	if err != nil {
		return fmt.Errorf("wait until Deployment %s is rolled out: %w", d.app, err)
	}
	d.sayf("kube-controller-manager removed pod %s", old.Name)
	return nil
}
