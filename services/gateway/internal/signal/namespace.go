package signal

import "kubernaut.ai/api/v1alpha1"

// Namespace is the namespace that a signal about a target belongs to: its
// request lives there, and its sender reports on it. A Namespace belongs to
// itself; other cluster-scoped objects belong to none.
func Namespace(target v1alpha1.TargetResource) string {
	if target.Kind == "Namespace" && target.Namespace == "" && (target.APIVersion == "" || target.APIVersion == "v1") {
		return target.Name
	}
	return target.Namespace
}
