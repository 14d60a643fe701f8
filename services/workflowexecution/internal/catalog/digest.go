package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"kubernaut.ai/api/v1alpha1"
)

// defaultTimeout and defaultMaxLength are the defaults of the CRD.
const (
	defaultTimeout   = 5 * time.Minute
	defaultMaxLength = 253
)

// Digest returns the SHA-256 of a spec in hex. It is the same before and after the API
// server has filled in defaults, except for durations whose zero is a value of its own.
func Digest(spec *v1alpha1.RemediationWorkflowSpec) (string, error) {
	filled := spec.DeepCopy()
	if filled.Timeout.Duration == 0 {
		filled.Timeout.Duration = defaultTimeout
	}
	if filled.GitOps == "" {
		filled.GitOps = v1alpha1.GitOpsPropose
	}
	for i := range filled.Parameters {
		if filled.Parameters[i].MaxLength == 0 {
			filled.Parameters[i].MaxLength = defaultMaxLength
		}
	}
	encoded, err := json.Marshal(filled)
	if err != nil {
		return "", fmt.Errorf("encode the workflow's spec: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}
