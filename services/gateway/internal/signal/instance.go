package signal

import (
	"encoding/hex"
	"maps"
	"slices"

	"kubernaut.ai/pkg/audit/wire"
)

// instanceBytes is how much of the digest an instance id has: it is unique among
// the instances of one request, of which there are few.
const instanceBytes = 8

// InstanceID identifies an instance of a signal within its request, such as the
// alert of one pod: 16 hex digits of the SHA-256 over the labels, sorted by key.
// The labels are those of a request's spec, so that the id of a request's first
// instance can be computed from the request.
func InstanceID(labels map[string]string) string {
	digest := wire.NewDigest()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		digest.Text(key)
		digest.Text(labels[key])
	}
	sum := digest.Sum()
	return hex.EncodeToString(sum[:instanceBytes])
}
