package aggregated

import (
	_ "embed"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

//go:embed openapi.yaml
var openapi []byte

// documents returns what the API server and its clients read about the API, by path.
func documents() (map[string]json.RawMessage, error) {
	v3, err := yaml.YAMLToJSON(openapi)
	if err != nil {
		return nil, fmt.Errorf("aggregated API: OpenAPI document: %w", err)
	}
	version := metav1.GroupVersionForDiscovery{GroupVersion: apiVersion, Version: Version}
	group := metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"},
		Name:     Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
	encoded := map[string]json.RawMessage{"/openapi/v3" + root: v3}
	for path, document := range map[string]any{
		"/apis":          metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group}},
		"/apis/" + Group: group,
		root:             resources(),
		// The API server merges it into its own document; the schemas are in version 3.
		"/openapi/v2": map[string]any{
			"swagger": "2.0", "info": map[string]string{"title": "Kubernaut audit", "version": Version}, "paths": map[string]any{},
		},
		"/openapi/v3": map[string]any{"paths": map[string]any{
			root[1:]: map[string]string{"serverRelativeURL": "/openapi/v3" + root},
		}},
	} {
		if encoded[path], err = json.Marshal(document); err != nil {
			return nil, fmt.Errorf("aggregated API: %s: %w", path, err)
		}
	}
	return encoded, nil
}

func resources() metav1.APIResourceList {
	return metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: apiVersion,
		APIResources: []metav1.APIResource{
			{Name: acknowledgements, SingularName: "acknowledgement", Kind: kindAcknowledgement, Verbs: metav1.Verbs{"create", "get"}}, //nolint:goconst // verbs
			{Name: erasurePreviews, SingularName: "erasurepreview", Kind: kindErasurePreview, Verbs: metav1.Verbs{"create"}},
			{Name: erasures, SingularName: "erasure", Kind: kindErasure, Verbs: metav1.Verbs{"create", "get", "list"}}, //nolint:goconst // verbs
			{Name: events, SingularName: "event", Kind: "Event", Verbs: metav1.Verbs{"get", "list"}},
			{Name: legalHolds, SingularName: "legalhold", Kind: kindLegalHold, Verbs: metav1.Verbs{"create", "delete", "get", "list"}},
			{Name: trails, SingularName: "trail", Kind: "Trail", Verbs: metav1.Verbs{"get"}},
		},
	}
}
