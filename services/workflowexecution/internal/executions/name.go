package executions

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"kubernaut.ai/api/v1alpha1"
)

// maxPrefix is how much of a request's name begins the names of its executions.
const maxPrefix = 230

// NextName is the name of the request's next execution. It follows from the request's latest
// one, so a creation that is repeated after a crash meets its own.
func NextName(rr *v1alpha1.RemediationRequest) string {
	prefix := rr.Name
	if len(prefix) > maxPrefix {
		sum := sha256.Sum256([]byte(rr.Name))
		prefix = prefix[:maxPrefix] + "-" + hex.EncodeToString(sum[:4])
	}
	attempt := 0
	if number, ok := strings.CutPrefix(rr.Status.ExecutionRef, prefix+"-"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			attempt = n
		}
	}
	return prefix + "-" + strconv.Itoa(attempt+1)
}
