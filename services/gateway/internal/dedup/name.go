package dedup

import (
	"encoding/hex"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/pkg/audit/wire"
)

const (
	fingerprintInName = 12
	hashInName        = 10
	fingerprintInReg  = 40
)

// name is the name of the request that a register stands at. All replicas
// derive the same one, and it never comes back: the transitions of a Lease
// only grow, and a Lease that was deleted and made again has another UID.
func name(fingerprint string, register types.UID, transitions int32) string {
	digest := wire.NewDigest(string(register))
	digest.Number(uint64(transitions)) //nolint:gosec // validated by the API server: not negative
	sum := digest.Sum()
	return "rr-" + fingerprint[:fingerprintInName] + "-" + hex.EncodeToString(sum[:])[:hashInName]
}

// registerName is the name of a fingerprint's Lease.
func registerName(fingerprint string) string {
	return "signal-" + fingerprint[:fingerprintInReg]
}
