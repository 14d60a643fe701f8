package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

// nameLabel names the service that a pod belongs to.
const nameLabel = "app.kubernetes.io/name"

// AwaitRollout waits, by watches, until each workload has the pods that it declares,
// all of the newest generation and ready, and no others.
func (e *Env) AwaitRollout(ctx context.Context, workloads ...podflush.Workload) error {
	for _, w := range workloads {
		if err := e.awaitRollout(ctx, w); err != nil {
			return fmt.Errorf("wait for %s: %w", w, err)
		}
	}
	return nil
}

func (e *Env) awaitRollout(ctx context.Context, w podflush.Workload) error {
	for {
		want, err := e.reported(ctx, w)
		if err != nil {
			return err
		}
		err = testenv.WaitForAll(ctx, e, &corev1.PodList{}, func(pods map[client.ObjectKey]*corev1.Pod) bool {
			return len(pods) == int(want) && !slices.ContainsFunc(slices.Collect(maps.Values(pods)), unready)
		}, podsOf(w)...)
		if err != nil {
			return err
		}
		// The controller may have started another rollout meanwhile.
		now, err := e.read(ctx, w)
		if err != nil {
			return err
		}
		if replicas, done := state(now); done && replicas == want {
			return nil
		}
	}
}

// reported waits until the controller reports a complete rollout, and returns
// the number of replicas.
func (e *Env) reported(ctx context.Context, w podflush.Workload) (replicas int32, err error) {
	meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name}
	if w.Kind == podflush.Deployment {
		err = testenv.WaitFor(ctx, e, &appsv1.Deployment{ObjectMeta: meta}, func(d *appsv1.Deployment) (done bool) {
			replicas, done = state(d)
			return done
		})
		return replicas, err
	}
	err = testenv.WaitFor(ctx, e, &appsv1.StatefulSet{ObjectMeta: meta}, func(s *appsv1.StatefulSet) (done bool) {
		replicas, done = state(s)
		return done
	})
	return replicas, err
}

// state returns how many replicas a workload declares, and whether its controller
// reports exactly these, all updated and ready.
func state(object client.Object) (replicas int32, done bool) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		n := ptr.Deref(o.Spec.Replicas, 1)
		return n, o.Status.ObservedGeneration >= o.Generation && o.Status.Replicas == n &&
			o.Status.UpdatedReplicas == n && o.Status.ReadyReplicas == n
	case *appsv1.StatefulSet:
		n := ptr.Deref(o.Spec.Replicas, 1)
		return n, o.Status.ObservedGeneration >= o.Generation && o.Status.Replicas == n && o.Status.ReadyReplicas == n &&
			o.Status.UpdateRevision == o.Status.CurrentRevision
	}
	return 0, false
}

func (e *Env) read(ctx context.Context, w podflush.Workload) (client.Object, error) {
	object := empty(w)
	if err := e.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	return object, nil
}

func empty(w podflush.Workload) client.Object {
	meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name}
	if w.Kind == podflush.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta}
	}
	return &appsv1.StatefulSet{ObjectMeta: meta}
}

func podsOf(w podflush.Workload) []client.ListOption {
	return []client.ListOption{client.InNamespace(w.Namespace), client.MatchingLabels{nameLabel: w.Name}}
}

func unready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// AnyReady waits, by a watch, until a workload has a pod that is ready, and
// returns those that are.
func (e *Env) AnyReady(ctx context.Context, w podflush.Workload) ([]*corev1.Pod, error) {
	var ready []*corev1.Pod
	err := testenv.WaitForAll(ctx, e, &corev1.PodList{}, func(pods map[client.ObjectKey]*corev1.Pod) bool {
		ready = slices.DeleteFunc(slices.Collect(maps.Values(pods)), unready)
		return len(ready) > 0
	}, podsOf(w)...)
	return ready, err
}
