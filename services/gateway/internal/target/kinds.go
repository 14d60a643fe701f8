package target

import "k8s.io/apimachinery/pkg/runtime/schema"

const nodeKind = "Node"

// kindOf returns the group and version of the namespaced kinds that labels can
// name. Owner references bring their own group and version.
func kindOf(kind string) (schema.GroupVersionKind, bool) {
	switch kind {
	case "Pod", "PersistentVolumeClaim":
		return schema.GroupVersionKind{Version: "v1", Kind: kind}, true
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}, true
	case "Job", "CronJob":
		return schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: kind}, true
	case "HorizontalPodAutoscaler":
		return schema.GroupVersionKind{Group: "autoscaling", Version: "v2", Kind: kind}, true
	default:
		return schema.GroupVersionKind{}, false
	}
}
