package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"k8s.io/apimachinery/pkg/types"
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
	hash := sha256.New()
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(len(register)))
	hash.Write(number[:])
	hash.Write([]byte(register))
	binary.BigEndian.PutUint64(number[:], uint64(transitions)) //nolint:gosec // validated by the API server: not negative
	hash.Write(number[:])
	return "rr-" + fingerprint[:fingerprintInName] + "-" + hex.EncodeToString(hash.Sum(nil))[:hashInName]
}

// registerName is the name of a fingerprint's Lease.
func registerName(fingerprint string) string {
	return "signal-" + fingerprint[:fingerprintInReg]
}
