package audit

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// SchemaVersion is the version of the event format that this package writes.
const SchemaVersion = "1.0"

// Outcome tells how the audited action ended.
type Outcome string

// The outcomes of an action.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomePending Outcome = "pending"
)

// Event is one thing that happened. Record keeps a copy: the caller may reuse
// the event and its slices afterwards.
type Event struct {
	// ID is the idempotency key: a UUIDv7, or a derived UUIDv8 (see DerivedID).
	// Record assigns a v7 where it is zero.
	ID uuid.UUID
	// Version of the event format, 1-20 characters; SchemaVersion where it is empty.
	Version string
	// Type has two or more dotted words of lower case letters, digits, _ and -, as in
	// "<service>.<subject>.<what happened>", 1-100 characters.
	Type string
	// Timestamp is stamped by Record if it is zero. Microseconds are kept. DataStorage
	// rejects one that is more than 5 minutes in the future.
	Timestamp time.Time
	// Category names the service, 1-50 characters.
	Category string
	// Action, 1-50 characters.
	Action string
	// Outcome of the action.
	Outcome Outcome
	// CorrelationID joins the events of one trail, for instance the UID of the object that a controller works on; in
	// Kubernaut it is the name of the RemediationRequest. 1-255 characters.
	CorrelationID string
	// Data is a JSON object, at most 1 MiB (see MaxDataBytes). Record takes empty data for {}.
	Data json.RawMessage

	// Who did it, all optional. ActorType has at most 50 characters, ActorID 255; ActorIP is an IPv4 or IPv6 address
	// without a zone.
	ActorType, ActorID, ActorIP string
	// What it was done to, all optional: at most 100, 255, 253 and 255 characters.
	ResourceType, ResourceID, Namespace, ClusterID string

	// Severity, optional, at most 50 characters.
	Severity string
	// Duration of the action, optional, at most 1e12 ms; microseconds are kept and zero is a value.
	Duration *time.Duration
	// ErrorCode and ErrorMessage of a failed action, optional: at most 100 and 4096 characters. Shorten a longer one:
	// Record returns a *ValidationError for it.
	ErrorCode, ErrorMessage string
	// ParentID is the event that led to this one, optional.
	ParentID uuid.UUID
	// RetentionDays, optional: where it is zero, what DataStorage's operator has set
	// for the category. DataStorage stores more than 3,650 as 3,650.
	RetentionDays int32
	// Sensitive marks Data as not to be shown in diagnostics.
	Sensitive bool

	// Producer is set by Record, whatever the caller put there.
	Producer Producer
}

// Producer identifies the store that accepted an event, the store's epoch (one
// for each process), and the event's sequence number within that epoch.
//
// A gap in the sequence numbers is not by itself a missing event. An event with
// a derived id that is recorded again after a restart keeps the producer fields
// of its first epoch in the trail, so that its number in the later epoch is
// absent; and so are the numbers of events that DataStorage rejected, and of
// those of which Record returned an error after they had reached the disk. What
// the numbers do show is order: within an epoch, a lower number was accepted
// earlier. That nothing is missing is what a flush proves.
type Producer struct {
	// ID of the store, see WithProducerID.
	ID string
	// Epoch is when the store was made, in Unix milliseconds.
	Epoch int64
	// Sequence counts the events of the epoch from 1, in the order of acceptance.
	Sequence uint64
}

// Footprint approximates the bytes that an event takes, both in memory and on
// the wire: its texts, and a constant for its fixed fields and their names.
func (e *Event) Footprint() int {
	const fixed = 1024
	return fixed + len(e.Data) + len(e.Version) + len(e.Type) + len(e.Category) + len(e.Action) +
		len(e.CorrelationID) + len(e.ActorType) + len(e.ActorID) + len(e.ActorIP) + len(e.ResourceType) +
		len(e.ResourceID) + len(e.Namespace) + len(e.ClusterID) + len(e.Severity) + len(e.ErrorCode) + len(e.ErrorMessage)
}

// clone copies an event with everything that its owner could change.
func (e *Event) clone() Event {
	var c Event
	c.copyFrom(e)
	return c
}

// copyFrom makes an event a clone of another, in the memory that it has.
func (e *Event) copyFrom(other *Event) {
	data := e.Data
	*e = *other
	e.Data = copyData(data, other.Data)
	if other.Duration != nil {
		d := *other.Duration
		e.Duration = &d
	}
}
