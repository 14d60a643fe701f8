// Package event is the audit event as DataStorage takes it: decoded from the
// wire forms, validated, and told apart from another by the digest of its content.
package event

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// Event is a valid event. Optional text is empty where it is missing, other
// optional fields are nil or zero. It is not changed after it was made.
type Event struct {
	ID      uuid.UUID
	Version string
	// Type is dotted, as in "gateway.signal.received".
	Type string
	// Timestamp is in UTC, cut to microseconds.
	Timestamp     time.Time
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
}

// Size is about what the event takes in memory, in bytes.
func (e *Event) Size() int {
	const fixed = 512
	return fixed + len(e.Data) + len(e.ErrorMessage) + len(e.CorrelationID)
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
