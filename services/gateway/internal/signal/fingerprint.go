package signal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"kubernaut.ai/api/v1alpha1"
)

// Fingerprint identifies a problem: the hex SHA-256 over the cluster, the
// namespace, kind and name of the target's top owner, and the signal's name.
// Each part is prefixed with its length, so that no two problems share the
// hashed bytes.
func Fingerprint(cluster string, owner v1alpha1.TargetResource, signalName string) string {
	hash := sha256.New()
	var length [8]byte
	for _, part := range []string{cluster, owner.Namespace, owner.Kind, owner.Name, signalName} {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write([]byte(part))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
