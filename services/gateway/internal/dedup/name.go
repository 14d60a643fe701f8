package dedup

import (
	"encoding/hex"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/pkg/audit/wire"
)

const (
	fingerprintInName  = 12
	hashInName         = 10
	fingerprintInLease = 40
)

// name derives the name of a Lease's current request. All replicas derive the
// same name, and it never repeats: the transitions of a Lease only grow, and a
// Lease that is deleted and created again has another UID.
func name(fingerprint string, lease types.UID, transitions int32) string {
	digest := wire.NewDigest(string(lease))
	digest.Number(uint64(transitions)) //nolint:gosec // validated by the API server: not negative
	sum := digest.Sum()
	return "rr-" + fingerprint[:fingerprintInName] + "-" + hex.EncodeToString(sum[:])[:hashInName]
}

// leaseName is the name of a fingerprint's Lease.
func leaseName(fingerprint string) string {
	return "signal-" + fingerprint[:fingerprintInLease]
}
