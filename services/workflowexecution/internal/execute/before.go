package execute

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubernaut.ai/services/workflowexecution/internal/catalog"
)

// maxBefore bounds the target in an execution's status, in bytes.
const maxBefore = 64 << 10

// before is what a workflow's condition needs of the target as it was, as JSON; empty if it needs
// nothing. Whoever reads executions reads it, who need not be allowed to read the target. What is too
// large for the status is left out, so that the condition sees the target's identity only.
func before(condition string, target *unstructured.Unstructured) (string, error) {
	if target == nil {
		return "", nil
	}
	compiled, err := catalog.CompileCondition(condition)
	if err != nil {
		return "", fmt.Errorf("verification: %w", err)
	}
	needed := compiled.Before(target)
	if len(needed) == 0 {
		return "", nil
	}
	encoded, err := json.Marshal(needed)
	if err != nil {
		return "", fmt.Errorf("encode the target before the execution: %w", err)
	}
	if len(encoded) > maxBefore {
		return "", nil
	}
	return string(encoded), nil
}
