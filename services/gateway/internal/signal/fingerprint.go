package signal

import (
	"crypto/sha256"
	"encoding/hex"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit/wire"
)

// Fingerprint identifies a problem: the hex SHA-256 over the cluster, the
// namespace, kind and name of the target's top owner, and the signal's name.
func Fingerprint(cluster string, owner v1alpha1.TargetResource, signalName string) string {
	sum := wire.NewDigest(cluster, owner.Namespace, owner.Kind, owner.Name, signalName).Sum()
	return hex.EncodeToString(sum[:])
}

// Digest identifies a body: the hex SHA-256 of its bytes.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
