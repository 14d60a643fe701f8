package testenv

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail/podflush"
)

const (
	containerName = "service"
	workloadLabel = "app.kubernetes.io/instance"
	// partLabel marks what belongs to the platform, as in a deployment.
	partLabel = "app.kubernetes.io/part-of"
)

// Workload is a Deployment or StatefulSet with pods for services that run on this
// machine. The API server proxies requests for a pod's management port to the
// service. There is no controller: the methods update the status as one would. It is
// not safe for concurrent use.
type Workload struct {
	podflush.Workload

	// ServiceAccount of the pods that are added from now on; empty means the default.
	ServiceAccount string

	env *Env
}

// NewWorkload makes a workload in the process's namespace, with a ready pod
// for each management URL; see PodName. It is not removed.
func (e *Env) NewWorkload(ctx context.Context, kind podflush.Kind, managementURLs ...string) (*Workload, error) {
	return e.newWorkload(ctx, kind, nil, managementURLs)
}

// NewStatefulSet makes a StatefulSet as NewWorkload does, whose replicas each have a
// volume of each of these names; see AddVolume.
func (e *Env) NewStatefulSet(ctx context.Context, volumes []string, managementURLs ...string) (*Workload, error) {
	return e.newWorkload(ctx, podflush.StatefulSet, volumes, managementURLs)
}

func (e *Env) newWorkload(ctx context.Context, kind podflush.Kind, volumes, managementURLs []string) (*Workload, error) {
	w := &Workload{
		Workload: podflush.Workload{Kind: kind, Namespace: e.Namespace, Name: "workload-" + random()},
		env:      e,
	}
	object := w.empty()
	replicas := new(int32(len(managementURLs)))
	selector := &metav1.LabelSelector{MatchLabels: w.labels()}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: w.labels()}, Spec: podSpec()}
	switch o := object.(type) {
	case *appsv1.Deployment:
		o.Spec = appsv1.DeploymentSpec{Replicas: replicas, Selector: selector, Template: template}
	case *appsv1.StatefulSet:
		o.Spec = appsv1.StatefulSetSpec{Replicas: replicas, Selector: selector, Template: template, ServiceName: w.Name}
		for _, name := range volumes {
			o.Spec.VolumeClaimTemplates = append(o.Spec.VolumeClaimTemplates, corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: claimSpec(),
			})
		}
	}
	if err := e.Create(ctx, object, client.FieldOwner("testenv")); err != nil {
		return nil, fmt.Errorf("make %s: %w", w, err)
	}
	for i, managementURL := range managementURLs {
		if err := w.AddPod(ctx, w.PodName(i), managementURL); err != nil {
			return nil, err
		}
	}
	return w, w.Report(ctx)
}

// PodName is the name of the pod with an ordinal, as in a StatefulSet.
func (w *Workload) PodName(ordinal int) string { return fmt.Sprintf("%s-%d", w.Name, ordinal) }

// Declare changes the number of replicas. The controller observes it with the
// next Report.
func (w *Workload) Declare(ctx context.Context, replicas int32) error {
	object := w.empty()
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := w.env.Patch(ctx, object, patch); err != nil {
		return fmt.Errorf("scale %s: %w", w, err)
	}
	return nil
}

// Report writes the workload's status for its present generation and pods, as
// its controller would.
func (w *Workload) Report(ctx context.Context) error {
	var pods corev1.PodList
	if err := w.env.List(ctx, &pods, client.InNamespace(w.Namespace), client.MatchingLabels(w.labels())); err != nil {
		return fmt.Errorf("read pods of %s: %w", w, err)
	}
	existing, ready := count(pods.Items)
	object := w.empty()
	if err := w.env.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return fmt.Errorf("read %s: %w", w, err)
	}
	switch o := object.(type) {
	case *appsv1.Deployment:
		o.Status = appsv1.DeploymentStatus{
			ObservedGeneration: o.Generation, Replicas: existing, UpdatedReplicas: existing,
			ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: existing - ready,
		}
	case *appsv1.StatefulSet:
		o.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: o.Generation, Replicas: existing, UpdatedReplicas: existing, CurrentReplicas: existing,
			ReadyReplicas: ready, AvailableReplicas: ready,
		}
	}
	if err := w.env.Status().Update(ctx, object); err != nil {
		return fmt.Errorf("report %s: %w", w, err)
	}
	return nil
}

// count ignores terminating and finished pods, as controllers do.
func count(pods []corev1.Pod) (existing, ready int32) {
	for i := range pods {
		if pods[i].DeletionTimestamp != nil || pods[i].Status.Phase == corev1.PodFailed || pods[i].Status.Phase == corev1.PodSucceeded {
			continue
		}
		existing++
		for _, c := range pods[i].Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return existing, ready
}

// podSpec names an image that is never pulled.
func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: containerName, Image: "localhost/" + containerName}}}
}

func claimSpec() corev1.PersistentVolumeClaimSpec {
	return corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}
}

// AddVolume makes the claim of a replica, as the controller would, and returns its
// name. It stays when the replica is gone.
func (w *Workload) AddVolume(ctx context.Context, volume string, ordinal int) (string, error) {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: fmt.Sprintf("%s-%s", volume, w.PodName(ordinal)), Labels: w.labels()},
		Spec:       claimSpec(),
	}
	if err := w.env.Create(ctx, claim, client.FieldOwner("testenv")); err != nil {
		return "", fmt.Errorf("make claim %s: %w", claim.Name, err)
	}
	return claim.Name, nil
}

// RemoveVolume removes a claim, as kubectl and the controller that protects claims do.
func (w *Workload) RemoveVolume(ctx context.Context, name string) error {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	unprotected := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := w.env.Patch(ctx, claim, unprotected); err != nil {
		return fmt.Errorf("remove claim %s: %w", name, err)
	}
	if err := w.env.Delete(ctx, claim); err != nil {
		return fmt.Errorf("remove claim %s: %w", name, err)
	}
	return nil
}

func (w *Workload) empty() client.Object {
	meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name}
	if w.Kind == podflush.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta}
	}
	return &appsv1.StatefulSet{ObjectMeta: meta}
}

func (w *Workload) labels() map[string]string {
	return map[string]string{workloadLabel: w.Name, partLabel: "kubernaut"}
}
