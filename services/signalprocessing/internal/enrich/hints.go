package enrich

import (
	"maps"
	"slices"
	"strings"
)

const (
	// maxLabels bounds the labels and the annotations of a context.
	maxLabels = 128
	// maxAnnotation bounds an annotation of a context, in bytes; longer ones are omitted.
	maxAnnotation = 1024
)

// hint is a label or annotation that identifies a tool; an empty value matches any.
type hint struct{ tool, key, value string }

// serviceMesh names the mesh that the objects are part of, nearest object first.
func serviceMesh(objects []link) string {
	const istio, enabled = "istio", "enabled"
	return firstHint(objects, []hint{
		{istio, "sidecar.istio.io/status", ""},
		{istio, "istio-injection", enabled},
		{istio, "istio.io/rev", ""},
		{istio, "istio.io/dataplane-mode", "ambient"},
		{"linkerd", "linkerd.io/proxy-version", ""},
		{"linkerd", "linkerd.io/inject", enabled},
		{"kuma", "kuma.io/sidecar-injection", enabled},
		{"consul", "consul.hashicorp.com/connect-inject", "true"},
	})
}

// gitOpsTool names the tool that owns the objects' manifests, nearest object first.
func gitOpsTool(objects []link) string {
	return firstHint(objects, []hint{
		{"argocd", "argocd.argoproj.io/tracking-id", ""},
		{"argocd", "argocd.argoproj.io/instance", ""},
		{"flux", "kustomize.toolkit.fluxcd.io/name", ""},
		{"flux", "helm.toolkit.fluxcd.io/name", ""},
	})
}

func firstHint(objects []link, hints []hint) string {
	for _, object := range objects {
		for _, h := range hints {
			for _, pairs := range []map[string]string{object.GetLabels(), object.GetAnnotations()} {
				if value, ok := pairs[h.key]; ok && (h.value == "" || h.value == value) {
					return h.tool
				}
			}
		}
	}
	return ""
}

// businessAnnotations returns the annotations that policies read. Kubernetes allows
// NUL in values; audit events do not.
func businessAnnotations(all map[string]string) map[string]string {
	selected := map[string]string{}
	for key, value := range all {
		wanted := strings.HasPrefix(key, "kubernaut.ai/") || key == "team" || key == "owner"
		if wanted && len(value) <= maxAnnotation {
			selected[key] = strings.ReplaceAll(value, "\x00", "\uFFFD")
		}
	}
	return bounded(selected)
}

// bounded returns the first labels in key order, so that equal labels result in
// equal contexts. It returns nil if there are none.
func bounded(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	if len(all) <= maxLabels {
		return maps.Clone(all)
	}
	selected := make(map[string]string, maxLabels)
	for _, key := range slices.Sorted(maps.Keys(all))[:maxLabels] {
		selected[key] = all[key]
	}
	return selected
}
