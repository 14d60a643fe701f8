package target

import (
	"k8s.io/apimachinery/pkg/util/validation"

	"kubernaut.ai/api/v1alpha1"
)

// KindUnknown is the kind of a target that no label names.
const KindUnknown = "Unknown"

// candidate is a label that can name a target.
type candidate struct {
	label, kind   string
	clusterScoped bool
}

// candidates lists the labels of kube-state-metrics and the kubelet that name
// an object, the most specific first. The label "job" is not among them: it is
// the scrape job; a Kubernetes Job is "job_name".
func candidates() []candidate {
	return []candidate{
		{label: "pod", kind: "Pod"},
		{label: "deployment", kind: "Deployment"},
		{label: "statefulset", kind: "StatefulSet"},
		{label: "daemonset", kind: "DaemonSet"},
		{label: "job_name", kind: "Job"},
		{label: "cronjob", kind: "CronJob"},
		{label: "replicaset", kind: "ReplicaSet"},
		{label: "horizontalpodautoscaler", kind: "HorizontalPodAutoscaler"},
		{label: "persistentvolumeclaim", kind: "PersistentVolumeClaim"},
		{label: "persistentvolume", kind: "PersistentVolume", clusterScoped: true},
		{label: "node", kind: "Node", clusterScoped: true},
	}
}

// FromLabels returns the object that a signal's labels name. Values that are
// not valid object names are ignored. If no label names an object, the target
// has kind [KindUnknown] and the signal's name.
func FromLabels(labels map[string]string, signalName string) v1alpha1.TargetResource {
	namespace := labels["namespace"]
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		namespace = ""
	}
	for _, c := range candidates() {
		name := labels[c.label]
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			continue
		}
		if c.clusterScoped {
			return v1alpha1.TargetResource{Kind: c.kind, Name: name}
		}
		return v1alpha1.TargetResource{Kind: c.kind, Name: name, Namespace: namespace}
	}
	return v1alpha1.TargetResource{Kind: KindUnknown, Name: signalName, Namespace: namespace}
}
