// Package gitops recognizes objects whose manifests a GitOps tool applies. Such a tool
// undoes changes and recreates what was deleted.
package gitops

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Tool names the tool that manages an object according to its labels and annotations;
// empty if none does.
func Tool(object metav1.Object) string {
	for _, mark := range []struct{ tool, name string }{
		{"Argo CD", "argocd.argoproj.io/tracking-id"},
		{"Argo CD", "argocd.argoproj.io/instance"},
		{"Flux", "kustomize.toolkit.fluxcd.io/name"},
		{"Flux", "helm.toolkit.fluxcd.io/name"},
	} {
		if object.GetLabels()[mark.name] != "" || object.GetAnnotations()[mark.name] != "" {
			return mark.tool
		}
	}
	return ""
}
