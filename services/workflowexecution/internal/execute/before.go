package execute

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// maxBefore bounds the target in an execution's status, in bytes.
	maxBefore = 64 << 10
	// lastApplied is kubectl's copy of the object in an annotation.
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
)

// before is the target as the condition of the workflow sees it later. What is too large for
// the status is left out, so that the condition sees the target's identity only.
func before(target *unstructured.Unstructured) string {
	if target == nil {
		return ""
	}
	kept := target.DeepCopy()
	kept.SetManagedFields(nil)
	annotations := kept.GetAnnotations()
	delete(annotations, lastApplied)
	kept.SetAnnotations(annotations)
	encoded, err := json.Marshal(kept.Object)
	if err != nil || len(encoded) > maxBefore {
		return ""
	}
	return string(encoded)
}
