// Package commitment defines what the ledger commits to for an event: one hash
// over three salted parts, so that a part can be erased or withheld while the
// others stay verifiable. docs/commitments.md specifies the form for other
// implementations. It never changes; another form gets another domain.
package commitment

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// SaltBytes is the size of one salt.
const SaltBytes = 32

// The domains separate these hashes from each other and from every other use of SHA-256.
const (
	domain         = "kubernaut.ai/audit-event/commitment/v1"
	envelopeDomain = "kubernaut.ai/audit-event/envelope/v1"
	subjectDomain  = "kubernaut.ai/audit-event/subject/v1"
	dataDomain     = "kubernaut.ai/audit-event/data/v1"
)

// Sum is a SHA-256.
type Sum [sha256.Size]byte

// Salts are the random salts of an event's parts: envelope, subject, data.
type Salts [3 * SaltBytes]byte

// Envelope is the part that stays when an event is erased. Optional text is
// empty, and optional ids are uuid.Nil, where they are missing. Times count in
// microseconds.
type Envelope struct {
	EventID, ClaimedEventID uuid.UUID

	Version, Type, Category, Action, Outcome string

	// Timestamp is the event's own time, ReceivedAt the time of its receipt,
	// SortTime that of its place in lists.
	Timestamp, ReceivedAt, SortTime time.Time

	CorrelationID, Severity string
	ParentEventID           uuid.UUID
	DurationMicros          *int64
	RetentionDays           int32
	Sensitive               bool

	RecordedBy, ProducerID     string
	ProducerEpoch, ProducerSeq *int64
}

// Subject is who an event is about and what happened to it. Text is empty where it is missing.
type Subject struct {
	ActorType, ActorID, ActorIP                    string
	ResourceType, ResourceID, Namespace, ClusterID string
	ErrorCode, ErrorMessage                        string
}

// Parts are the hashes of an event's parts. They tell nothing about a part whose salt is deleted.
type Parts struct{ Envelope, Subject, Data Sum }

// Of hashes the parts of an event. The data is in the canonical form of wire.CanonicalData.
func Of(envelope *Envelope, subject *Subject, data []byte, salts *Salts) Parts {
	return Parts{
		Envelope: OfEnvelope(envelope, salts[:SaltBytes]),
		Subject:  OfSubject(subject, salts[SaltBytes:2*SaltBytes]),
		Data:     OfData(data, salts[2*SaltBytes:]),
	}
}

// Commitment combines the parts.
func (p Parts) Commitment() Sum {
	const parts = 3
	return sha256.Sum256(p.Append(make([]byte, 0, len(domain)+parts*sha256.Size)))
}

// Append appends what the commitment is the hash of.
func (p Parts) Append(b []byte) []byte {
	b = append(b, domain...)
	b = append(b, p.Envelope[:]...)
	b = append(b, p.Subject[:]...)
	return append(b, p.Data[:]...)
}

// OfEnvelope hashes an envelope with its salt.
func OfEnvelope(e *Envelope, salt []byte) Sum {
	return sum(func(b []byte) []byte { return AppendEnvelope(b, e, salt) })
}

// AppendEnvelope appends what OfEnvelope is the hash of.
func AppendEnvelope(b []byte, e *Envelope, salt []byte) []byte {
	p := begin(b, salt, envelopeDomain)
	p.id(e.EventID)
	p.id(e.ClaimedEventID)
	p.texts(e.Version, e.Type, e.Category, e.Action, e.Outcome)
	p.time(e.Timestamp)
	p.time(e.ReceivedAt)
	p.time(e.SortTime)
	p.texts(e.CorrelationID, e.Severity)
	p.id(e.ParentEventID)
	p.optional(e.DurationMicros)
	p.number(uint64(e.RetentionDays)) //nolint:gosec // never negative
	sensitive := byte(0)
	if e.Sensitive {
		sensitive = 1
	}
	p.b = append(p.b, sensitive)
	p.texts(e.RecordedBy, e.ProducerID)
	p.optional(e.ProducerEpoch)
	p.optional(e.ProducerSeq)
	return p.b
}

// OfSubject hashes subject fields with their salt.
func OfSubject(s *Subject, salt []byte) Sum {
	return sum(func(b []byte) []byte { return AppendSubject(b, s, salt) })
}

// AppendSubject appends what OfSubject is the hash of.
func AppendSubject(b []byte, s *Subject, salt []byte) []byte {
	p := begin(b, salt, subjectDomain)
	p.texts(s.ActorType, s.ActorID, s.ActorIP, s.ResourceType, s.ResourceID, s.Namespace, s.ClusterID, s.ErrorCode, s.ErrorMessage)
	return p.b
}

// OfData hashes event data in its canonical form with its salt.
func OfData(data, salt []byte) Sum {
	return sum(func(b []byte) []byte { return AppendData(b, data, salt) })
}

// AppendData appends what OfData is the hash of.
func AppendData(b, data, salt []byte) []byte {
	p := begin(b, salt, dataDomain)
	p.number(uint64(len(data)))
	return append(p.b, data...)
}

// preimage is what a part's hash is taken of.
type preimage struct{ b []byte }

func begin(b, salt []byte, domain string) *preimage {
	return &preimage{append(append(b, salt...), domain...)}
}

// buffers are reused.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sum is the hash of what is appended.
func sum(appended func(b []byte) []byte) Sum {
	buffer := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	*buffer = appended((*buffer)[:0])
	s := sha256.Sum256(*buffer)
	const large = 64 << 10
	if cap(*buffer) <= large {
		buffers.Put(buffer)
	}
	return s
}

func (p *preimage) number(n uint64) { p.b = binary.BigEndian.AppendUint64(p.b, n) }

func (p *preimage) texts(texts ...string) {
	for _, text := range texts {
		p.number(uint64(len(text)))
		p.b = append(p.b, text...)
	}
}

func (p *preimage) id(id uuid.UUID) { p.b = append(p.b, id[:]...) }

func (p *preimage) time(t time.Time) {
	p.number(uint64(t.UnixMicro()))
}

func (p *preimage) optional(n *int64) {
	if n == nil {
		p.b = append(p.b, 0)
		return
	}
	p.b = append(p.b, 1)
	p.number(uint64(*n)) //nolint:gosec // two's complement
}
