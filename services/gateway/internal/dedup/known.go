package dedup

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"

	"kubernaut.ai/api/v1alpha1"
)

// maxKnown bounds the memory of a replica, in fingerprints. What is evicted
// costs two reads when its next signal arrives.
const maxKnown = 10_000

// knownRequests are the requests that this replica has seen in the register and
// in the cluster, and whose creation it has recorded. As long as such a request
// takes signals, it takes those of its fingerprint: the register leaves a request
// that exists only after it has ended. So a duplicate costs one read.
type knownRequests struct{ byFingerprint *lru.Cache }

type knownRequest struct {
	key types.NamespacedName
	uid types.UID
}

func newKnownRequests() *knownRequests { return &knownRequests{lru.New(maxKnown)} }

func (k *knownRequests) add(r *v1alpha1.RemediationRequest) {
	k.byFingerprint.Add(r.Spec.SignalFingerprint, knownRequest{types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, r.UID})
}

func (k *knownRequests) get(fingerprint string) (knownRequest, bool) {
	value, ok := k.byFingerprint.Get(fingerprint)
	if !ok {
		return knownRequest{}, false
	}
	known, ok := value.(knownRequest)
	return known, ok
}

// has reports whether a request is known under its fingerprint.
func (k *knownRequests) has(r *v1alpha1.RemediationRequest) bool {
	known, ok := k.get(r.Spec.SignalFingerprint)
	return ok && known.uid == r.UID
}

// existed reports whether this replica has seen the request of a key.
func (k *knownRequests) existed(fingerprint string, key types.NamespacedName) bool {
	known, ok := k.get(fingerprint)
	return ok && known.key == key
}

// registered reports whether this replica knows that the fingerprint has a register.
func (k *knownRequests) registered(fingerprint string) bool {
	_, ok := k.get(fingerprint)
	return ok
}
