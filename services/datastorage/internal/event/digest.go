package event

import (
	"crypto/sha256"

	"kubernaut.ai/pkg/audit/wire"
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
	d := wire.NewDigest(
		digestDomain, e.RecordedBy, e.ID.String(),
		e.Version, e.Type, e.Category, e.Action, string(e.Outcome), e.CorrelationID,
		e.ActorType, sentActorID, e.ActorIP,
		e.ResourceType, e.ResourceID, e.Namespace, e.ClusterID,
		e.Severity, e.ErrorCode, e.ErrorMessage, e.ParentID.String(),
	)
	d.Number(uint64(requestedRetention)) //nolint:gosec // never negative
	sensitive := uint64(0)
	if e.Sensitive {
		sensitive = 1
	}
	d.Number(sensitive)
	d.Text(string(e.Data))
	return d.Sum()
}
