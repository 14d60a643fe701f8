package rules

import "k8s.io/apimachinery/pkg/runtime/schema"

// KnownKind is a kind that every cluster serves.
type KnownKind struct {
	schema.GroupVersionKind

	Namespaced bool
}

// BuiltInKind returns a kind of Kubernetes itself. Kinds with a group are found
// too, as in Deployment.apps.
func BuiltInKind(kind string) (KnownKind, bool) {
	plain, group := Object{Kind: kind}.SplitKind()
	known, ok := builtIn[plain]
	if !ok || group != "" && group != known.Group {
		return KnownKind{}, false
	}
	return known, true
}

//nolint:gochecknoglobals // constant
var builtIn = builtInKinds()

func builtInKinds() map[string]KnownKind {
	kinds := map[string]KnownKind{}
	for _, g := range []struct {
		group, version string
		namespaced     bool
		kinds          []string
	}{
		{"", "v1", true, []string{
			"Pod", "Service", "PersistentVolumeClaim", "ReplicationController", "ResourceQuota", "LimitRange", "ServiceAccount",
			"Endpoints", "ConfigMap", "Secret",
		}},
		{"", "v1", false, []string{"Node", "Namespace", "PersistentVolume"}},
		{"apps", "v1", true, []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}},
		{"batch", "v1", true, []string{"Job", "CronJob"}},
		{"autoscaling", "v2", true, []string{"HorizontalPodAutoscaler"}},
		{"policy", "v1", true, []string{"PodDisruptionBudget"}},
		{"networking.k8s.io", "v1", true, []string{"Ingress", "NetworkPolicy"}},
		{"networking.k8s.io", "v1", false, []string{"IngressClass"}},
		{"discovery.k8s.io", "v1", true, []string{"EndpointSlice"}},
		{"coordination.k8s.io", "v1", true, []string{"Lease"}},
		{"storage.k8s.io", "v1", false, []string{"StorageClass", "VolumeAttachment"}},
		{"rbac.authorization.k8s.io", "v1", true, []string{"Role", "RoleBinding"}},
		{"rbac.authorization.k8s.io", "v1", false, []string{"ClusterRole", "ClusterRoleBinding"}},
		{"certificates.k8s.io", "v1", false, []string{"CertificateSigningRequest"}},
		{"admissionregistration.k8s.io", "v1", false, []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}},
		{"apiextensions.k8s.io", "v1", false, []string{"CustomResourceDefinition"}},
		{"apiregistration.k8s.io", "v1", false, []string{"APIService"}},
	} {
		for _, kind := range g.kinds {
			kinds[kind] = KnownKind{schema.GroupVersionKind{Group: g.group, Version: g.version, Kind: kind}, g.namespaced}
		}
	}
	return kinds
}
