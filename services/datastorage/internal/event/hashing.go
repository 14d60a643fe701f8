package event

import (
	"sync"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/internal/sha256lanes"
)

// hashing computes the digests and commitments of several events together.
type hashing struct {
	batch  sha256lanes.Batch
	events []*Event
}

const (
	// hashedTogether is how many events are worth waiting for. Their texts fit the processor's caches.
	hashedTogether = 16
	// hashedAlone is the size of data, in bytes, from which an event is hashed by itself, so that what is hashed
	// together stays small.
	hashedAlone = 16 << 10
	// hashesOfAnEvent come before its commitment: of its content, envelope, subject and data.
	hashesOfAnEvent = 4
)

// hashings are reused for their buffers.
var hashings = sync.Pool{New: func() any { return new(hashing) }}

func newHashing() *hashing { return hashings.Get().(*hashing) } //nolint:forcetypeassert // the pool holds nothing else

// finish computes what is left, and gives h back.
func (h *hashing) finish() {
	h.flush()
	hashings.Put(h)
}

// add computes the hashes of an event, or leaves them to a later call or to flush.
func (h *hashing) add(e *Event, sentActorID string, requestedRetention int32) {
	if len(e.Data) >= hashedAlone {
		e.Digest = digest(e, sentActorID, requestedRetention)
		e.Commitment = e.Parts().Commitment()
		return
	}
	b := &h.batch
	b.B = appendDigest(b.B, e, sentActorID, requestedRetention)
	b.End()
	envelope, subject := e.parts()
	const salt = commitment.SaltBytes
	b.B = commitment.AppendEnvelope(b.B, &envelope, e.Salts[:salt])
	b.End()
	b.B = commitment.AppendSubject(b.B, &subject, e.Salts[salt:2*salt])
	b.End()
	b.B = commitment.AppendData(b.B, e.Data, e.Salts[2*salt:])
	b.End()
	if h.events = append(h.events, e); len(h.events) == hashedTogether {
		h.flush()
	}
}

// flush computes what add has left.
func (h *hashing) flush() {
	sums := h.batch.Hash()
	h.batch.Reset()
	for i, e := range h.events {
		own := sums[hashesOfAnEvent*i:]
		e.Digest = Digest(own[0])
		parts := commitment.Parts{Envelope: commitment.Sum(own[1]), Subject: commitment.Sum(own[2]), Data: commitment.Sum(own[3])}
		h.batch.B = parts.Append(h.batch.B)
		h.batch.End()
	}
	sums = h.batch.Hash()
	h.batch.Reset()
	for i, e := range h.events {
		e.Commitment = commitment.Sum(sums[i])
	}
	clear(h.events)
	h.events = h.events[:0]
}
