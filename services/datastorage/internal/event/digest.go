package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/uuid"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// KeyedDigest is the digest of an erased event. Nobody can tell the content from it by
// trying, without the key.
func KeyedDigest(key, digest []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(digest)
	return mac.Sum(nil)
}

// digestDomain separates these digests from every other use of SHA-256.
const digestDomain = "kubernaut.ai/audit-event/content/v1"

// digest covers who sent an event and what it says. Its timestamp, duration and
// producer fields stay outside: a client that records the same thing again
// after a crash measures those anew, and means the same event.
// requestedRetention is the retention as it was sent, 0 for none, so that a
// changed default does not turn replays into conflicts; the actor is taken as
// it was sent too. Its form is that of wire.Digest, and never changes.
func digest(e *Event, sentActorID string, requestedRetention int32) Digest {
	return sha256.Sum256(appendDigest(nil, e, sentActorID, requestedRetention))
}

// appendDigest appends what digest is the hash of.
func appendDigest(b []byte, e *Event, sentActorID string, requestedRetention int32) []byte {
	p := &preimage{b}
	p.text(digestDomain)
	p.text(e.RecordedBy)
	p.id(e.ID)
	for _, text := range [...]string{
		e.Version, e.Type, e.Category, e.Action, string(e.Outcome), e.CorrelationID,
		e.ActorType, sentActorID, e.ActorIP,
		e.ResourceType, e.ResourceID, e.Namespace, e.ClusterID,
		e.Severity, e.ErrorCode, e.ErrorMessage,
	} {
		p.text(text)
	}
	p.id(e.ParentID)
	p.number(uint64(requestedRetention)) //nolint:gosec // never negative
	sensitive := uint64(0)
	if e.Sensitive {
		sensitive = 1
	}
	p.number(sensitive)
	p.number(uint64(len(e.Data)))
	return append(p.b, e.Data...)
}

// preimage is what a digest is taken of.
type preimage struct{ b []byte }

func (p *preimage) number(n uint64) { p.b = binary.BigEndian.AppendUint64(p.b, n) }

func (p *preimage) text(text string) {
	p.number(uint64(len(text)))
	p.b = append(p.b, text...)
}

// noID is the text of uuid.Nil, which most events have as their parent.
const noID = "00000000-0000-0000-0000-000000000000"

// id adds the text of an id.
func (p *preimage) id(id uuid.UUID) {
	p.number(idLength)
	p.b = AppendID(p.b, id)
}

// AppendID appends the text of an id.
func AppendID(b []byte, id uuid.UUID) []byte {
	begin := len(b)
	b = append(b, noID...)
	if id == uuid.Nil {
		return b
	}
	text := b[begin:]
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	return b
}
