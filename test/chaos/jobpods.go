package chaos

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// runPods plays the kubelet for the pods of Jobs until ctx ends: each writes a line and
// succeeds at once.
func (l *lane) runPods(ctx context.Context) error {
	err := follow(ctx, l.Env, &corev1.PodList{}, l.workflows, func(event watch.Event) error {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok || event.Type == watch.Deleted || pod.Spec.NodeName != "" {
			return nil
		}
		if err := l.runPod(ctx, pod); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("run the pods of Jobs: %w", err)
	}
	return nil
}

func (l *lane) runPod(ctx context.Context, pod *corev1.Pod) error {
	node, err := l.Env.ShowLog(ctx, pod.Namespace, pod.Name, func() []byte { return []byte("done\n") })
	if err != nil {
		return fmt.Errorf("run pod %s: %w", pod.Name, err)
	}
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	if err := l.Env.SubResource("binding").Create(ctx, pod, binding); err != nil {
		return fmt.Errorf("run pod %s: %w", pod.Name, err)
	}
	ended := pod.DeepCopy()
	ended.Status.Phase = corev1.PodSucceeded
	for _, c := range pod.Spec.Containers {
		ended.Status.ContainerStatuses = append(ended.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}},
		})
	}
	if err := l.Env.Status().Patch(ctx, ended, client.MergeFrom(pod), client.FieldOwner("testenv")); err != nil {
		return fmt.Errorf("end pod %s: %w", pod.Name, err)
	}
	return nil
}
