// Package event is the audit event as DataStorage takes it: decoded from the
// wire forms, validated, and told apart from another by the digest of its content.
package event

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/pkg/audit/wire"
)

// Event is a valid event. Optional text is empty where it is missing, other
// optional fields are nil or zero. It is not changed after it was made.
type Event struct {
	ID uuid.UUID
	// ClaimedID is the id that was sent, where another event had it; uuid.Nil otherwise.
	ClaimedID uuid.UUID

	Version string
	// Type is dotted, as in "gateway.signal.received".
	Type string
	// Timestamp is in UTC, cut to microseconds. ReceivedAt is the time of the
	// event's receipt, likewise.
	Timestamp, ReceivedAt time.Time

	Category      string
	Action        string
	Outcome       wire.EventOutcome
	CorrelationID string
	// Data is a JSON object in the canonical form of wire.CanonicalData.
	Data []byte

	ActorType, ActorID, ActorIP                    string
	ResourceType, ResourceID, Namespace, ClusterID string

	Severity string
	// DurationMicros is the duration in microseconds.
	DurationMicros          *int64
	ErrorCode, ErrorMessage string
	// ParentID is uuid.Nil where there is none.
	ParentID uuid.UUID
	// RetentionDays is the effective retention, counted from receipt.
	RetentionDays int32
	Sensitive     bool

	ProducerID                 string
	ProducerEpoch, ProducerSeq *int64

	// RecordedBy is the authenticated caller, empty where authentication is off.
	RecordedBy string
	// Digest tells a replay from a conflict, see digest.
	Digest Digest

	// Salts are random, and Commitment is what the ledger commits to.
	Salts      commitment.Salts
	Commitment commitment.Sum
}

// SkewTolerance is how far ahead of its receipt an event's time counts as that of
// its place in lists.
const SkewTolerance = 5 * time.Minute

// SortTime is the time of the event's place in lists and cursors: its own, but at
// most SkewTolerance after its receipt. A clock that is wrong by years places no
// event behind all those to come.
func (e *Event) SortTime() time.Time {
	if latest := e.ReceivedAt.Add(SkewTolerance); e.Timestamp.After(latest) {
		return latest
	}
	return e.Timestamp
}

// ClockSkew is how far ahead of its receipt the event's time is, if that is more
// than SkewTolerance; else 0. An event that is late may have waited in a spool, so
// its time says nothing about a clock.
func (e *Event) ClockSkew() time.Duration {
	if skew := e.Timestamp.Sub(e.ReceivedAt); skew > SkewTolerance {
		return skew
	}
	return 0
}

// Parts hashes the event's parts.
func (e *Event) Parts() commitment.Parts {
	envelope, subject := e.parts()
	return commitment.Of(&envelope, &subject, e.Data, &e.Salts)
}

// SecondID is the id under which an event is stored whose own is taken by another
// recorder, or with other content. A replay gets the same one. It has the time of
// the first, and so the same partition.
func (e *Event) SecondID() uuid.UUID {
	at, timed := IDTime(e.ID)
	if !timed {
		at = time.Unix(0, 0)
	}
	return wire.DerivedID(at, e.ID.String(), e.RecordedBy, string(e.Digest[:]))
}

// UnderSecondID returns the event as it is stored under its second id.
func (e *Event) UnderSecondID() *Event {
	second := *e
	second.ID, second.ClaimedID = e.SecondID(), e.ID
	second.Commitment = second.Parts().Commitment()
	return &second
}

// Size is about what the event takes in memory, in bytes.
func (e *Event) Size() int {
	const fixed = 512
	return fixed + len(e.Data) + len(e.ErrorMessage) + len(e.CorrelationID)
}

// parts are what the commitment covers, all but the data.
func (e *Event) parts() (envelope commitment.Envelope, subject commitment.Subject) {
	envelope = commitment.Envelope{
		EventID: e.ID, ClaimedEventID: e.ClaimedID,
		Version: e.Version, Type: e.Type, Category: e.Category, Action: e.Action, Outcome: string(e.Outcome),
		Timestamp: e.Timestamp, ReceivedAt: e.ReceivedAt, SortTime: e.SortTime(),
		CorrelationID: e.CorrelationID, Severity: e.Severity, ParentEventID: e.ParentID, DurationMicros: e.DurationMicros,
		RetentionDays: e.RetentionDays, Sensitive: e.Sensitive,
		RecordedBy: e.RecordedBy, ProducerID: e.ProducerID, ProducerEpoch: e.ProducerEpoch, ProducerSeq: e.ProducerSeq,
	}
	subject = commitment.Subject{
		ActorType: e.ActorType, ActorID: e.ActorID, ActorIP: e.ActorIP,
		ResourceType: e.ResourceType, ResourceID: e.ResourceID, Namespace: e.Namespace, ClusterID: e.ClusterID,
		ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage,
	}
	return envelope, subject
}

// IDTime returns the time that an id carries: the 48 bits of milliseconds of a
// version 7 (RFC 9562, section 5.7) or version 8 id. It returns false for every
// other id. Rows are partitioned by it; see docs/decisions/0002.
func IDTime(id uuid.UUID) (time.Time, bool) {
	if id.Variant() != uuid.RFC4122 || (id.Version() != 7 && id.Version() != 8) {
		return time.Time{}, false
	}
	var eight [8]byte
	copy(eight[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(eight[:]))).UTC(), true //nolint:gosec // 48 bits fit
}

// newID makes a version 7 id of a time.
func newID(now time.Time, random io.Reader) (uuid.UUID, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return uuid.Nil, fmt.Errorf("make an event id: %w", err)
	}
	return wire.NewID(now, binary.BigEndian.Uint64(b[:])), nil
}
