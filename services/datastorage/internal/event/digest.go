package event

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// digestDomain separates these digests from every other use of SHA-256.
const digestDomain = "kubernaut.ai/audit-event/content/v1"

// digest covers who sent an event and what it says. Its timestamp, duration and
// producer fields stay outside: a client that records the same thing again
// after a crash measures those anew, and means the same event.
// requestedRetention is the retention as it was sent, 0 for none, so that a
// changed default does not turn replays into conflicts; the actor is taken as
// it was sent too.
func digest(e *Event, sentActorID string, requestedRetention int32) Digest {
	d := digester{sha256.New()}
	d.text(digestDomain)
	d.text(e.RecordedBy)
	d.text(e.ID.String())
	for _, field := range []string{
		e.Version, e.Type, e.Category, e.Action, string(e.Outcome), e.CorrelationID,
		e.ActorType, sentActorID, e.ActorIP,
		e.ResourceType, e.ResourceID, e.Namespace, e.ClusterID,
		e.Severity, e.ErrorCode, e.ErrorMessage, e.ParentID.String(),
	} {
		d.text(field)
	}
	d.number(uint64(requestedRetention)) //nolint:gosec // never negative
	sensitive := uint64(0)
	if e.Sensitive {
		sensitive = 1
	}
	d.number(sensitive)
	d.text(string(e.Data))
	var out Digest
	d.Sum(out[:0])
	return out
}

// digester writes each part behind its length, so that parts cannot run into
// each other.
type digester struct{ hash.Hash }

func (d digester) text(s string) {
	d.number(uint64(len(s)))
	_, _ = d.Write([]byte(s)) // a hash never fails
}

func (d digester) number(n uint64) {
	var eight [8]byte
	binary.BigEndian.PutUint64(eight[:], n)
	_, _ = d.Write(eight[:])
}
