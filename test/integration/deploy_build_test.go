//go:build integration

package integration_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// deployNamespace is where every overlay deploys to, unless it is edited.
const deployNamespace = "kubernaut-system"

var overlays = []string{"local", "kind", "production"}

// kustomizations is the directory of all kustomizations.
var kustomizations = filepath.Join("..", "..", "deploy", "kustomize")

// deployment is the output of kustomizations.
type deployment []*unstructured.Unstructured

// build makes what a cluster has after an overlay was deployed: the kustomization
// of the cluster and that of the overlay.
func build(overlay string) deployment {
	GinkgoHelper()
	return slices.Concat(kustomize(filepath.Join(kustomizations, "cluster")), kustomize(filepath.Join(kustomizations, "overlays", overlay)))
}

// kustomize makes a kustomization as `kubectl apply -k` does, with the same
// restrictions on what it may read.
func kustomize(path string) deployment {
	GinkgoHelper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	Expect(err).NotTo(HaveOccurred())
	objects := make(deployment, 0, built.Size())
	for _, resource := range built.Resources() {
		content, err := resource.Map()
		Expect(err).NotTo(HaveOccurred())
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	Expect(objects).NotTo(BeEmpty())
	return objects
}

// eachOverlay makes a spec for every overlay.
func eachOverlay(text string, body func(d deployment)) {
	for _, overlay := range overlays {
		It(text+" ("+overlay+")", func() { body(build(overlay)) })
	}
}

// typed returns the objects of a kind as their Kubernetes types.
func typed[T any](d deployment, kinds ...string) []*T {
	GinkgoHelper()
	var found []*T
	for _, u := range d {
		if slices.Contains(kinds, u.GetKind()) {
			object := new(T)
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, object, true)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
			found = append(found, object)
		}
	}
	return found
}

// names are those of the objects of a kind.
func (d deployment) names(kind string) []string {
	var names []string
	for _, u := range d {
		if u.GetKind() == kind {
			names = append(names, u.GetName())
		}
	}
	return names
}

// workload is a Deployment or StatefulSet.
type workload struct {
	kind, name  string
	replicas    *int32
	selector    map[string]string
	serviceName string // of a StatefulSet
	template    corev1.PodTemplateSpec
	claims      []corev1.PersistentVolumeClaim
}

func (d deployment) workloads() []workload {
	GinkgoHelper()
	deployments, sets := typed[appsv1.Deployment](d, "Deployment"), typed[appsv1.StatefulSet](d, "StatefulSet")
	found := make([]workload, 0, len(deployments)+len(sets))
	for _, o := range deployments {
		found = append(found, workload{
			kind: "Deployment", name: o.Name, replicas: o.Spec.Replicas,
			selector: o.Spec.Selector.MatchLabels, template: o.Spec.Template,
		})
	}
	for _, o := range sets {
		found = append(found, workload{
			kind: "StatefulSet", name: o.Name, replicas: o.Spec.Replicas, selector: o.Spec.Selector.MatchLabels,
			serviceName: o.Spec.ServiceName, template: o.Spec.Template, claims: o.Spec.VolumeClaimTemplates,
		})
	}
	return found
}

// find returns nil if the overlay has no such workload.
func (d deployment) find(name string) *workload {
	GinkgoHelper()
	for _, w := range d.workloads() {
		if w.name == name {
			return &w
		}
	}
	return nil
}

func (d deployment) workload(name string) *workload {
	GinkgoHelper()
	found := d.find(name)
	Expect(found).NotTo(BeNil(), "no workload %s", name)
	return found
}

// selected are the workloads whose pods a selector chooses.
func (d deployment) selected(s labels.Selector) []workload {
	GinkgoHelper()
	return slices.DeleteFunc(d.workloads(), func(w workload) bool { return !s.Matches(labels.Set(w.template.Labels)) })
}

// pod is the first one of a workload, as its controller makes it.
func (w *workload) pod() *corev1.Pod {
	template := w.template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = deployNamespace, w.name+"-0"
	for i := range w.claims {
		claim := w.claims[i].Name
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim + "-" + pod.Name},
		}})
	}
	return pod
}

// containers are all containers, including init containers.
func (w *workload) containers() []corev1.Container {
	return slices.Concat(w.template.Spec.InitContainers, w.template.Spec.Containers)
}

func (w *workload) ports() []string {
	var names []string
	for _, c := range w.template.Spec.Containers {
		for _, p := range c.Ports {
			names = append(names, p.Name)
		}
	}
	return names
}

// configured returns the value of a ConfigMap's key.
func (d deployment) configured(configMap, key string) string {
	GinkgoHelper()
	for _, c := range typed[corev1.ConfigMap](d, "ConfigMap") {
		if c.Name == configMap {
			Expect(c.Data).To(HaveKey(key))
			return c.Data[key]
		}
	}
	Fail("no ConfigMap " + configMap)
	return ""
}

// given are the ConfigMaps and Secrets that a pod refers to, by kind and name.
func given(pod *corev1.PodSpec) map[string]bool {
	names := map[string]bool{}
	for _, v := range pod.Volumes {
		switch {
		case v.ConfigMap != nil:
			names["ConfigMap/"+v.ConfigMap.Name] = true
		case v.Secret != nil:
			names["Secret/"+v.Secret.SecretName] = true
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				names["Secret/"+e.ValueFrom.SecretKeyRef.Name] = true
			}
		}
	}
	return names
}

// provided are the names of the ConfigMaps and Secrets that an overlay creates, or
// that a certificate in it creates.
func (d deployment) provided() map[string]bool {
	names := map[string]bool{}
	for _, u := range d {
		names[u.GetKind()+"/"+u.GetName()] = true
		if u.GetKind() == "Certificate" {
			secret, _, _ := unstructured.NestedString(u.Object, "spec", "secretName")
			names["Secret/"+secret] = true
		}
	}
	return names
}

func sorted(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " ") }
