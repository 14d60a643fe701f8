// Package acknowledgement keeps the records with which people take note of
// events that DataStorage will never store. A record is an event itself, which
// no client can write: DataStorage records it under a name of its own.
package acknowledgement

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	// EventType of a record.
	EventType = "datastorage.acknowledgement.created"

	// MaxEvents bounds the events of one record.
	MaxEvents = 1000
	// MaxReason bounds the reason, in characters.
	MaxReason = 1024
	// maxName bounds the names of recorders and users, in characters.
	maxName = 255
)

// ErrNotFound means that there is no record with this id.
var ErrNotFound = errors.New("no such acknowledgement")

// Request is what a person acknowledges. The events need not exist.
type Request struct {
	// Recorder is the authenticated name under which the events were sent.
	Recorder string
	EventIDs []uuid.UUID
	Reason   string
}

// User is who acknowledges, as the API server vouches.
type User = ownevent.User

// Record is a stored request. Its id is that of the event.
type Record struct {
	Request

	ID   uuid.UUID
	User User
	// At is when DataStorage recorded it.
	At time.Time
}

// NewRequest checks a request as a client sent it. It returns what is wrong with
// each field, by the field's name.
func NewRequest(recorder string, eventIDs []string, reason string) (Request, map[string]string) {
	bad := map[string]string{}
	ownevent.CheckText(bad, "recorder", recorder, maxName)
	ownevent.CheckText(bad, "reason", reason, MaxReason)
	r := Request{Recorder: recorder, Reason: reason}
	switch {
	case len(eventIDs) == 0:
		bad["eventIDs"] = "is required"
	case len(eventIDs) > MaxEvents:
		bad["eventIDs"] = fmt.Sprintf("must have at most %d ids: send the others in another acknowledgement", MaxEvents)
	default:
		r.EventIDs = parse(bad, eventIDs)
	}
	if len(bad) > 0 {
		return Request{}, bad
	}
	return r, nil
}

func parse(bad map[string]string, texts []string) []uuid.UUID {
	const length = 36
	ids := make([]uuid.UUID, len(texts))
	seen := make(map[uuid.UUID]struct{}, len(texts))
	for i, text := range texts {
		field := fmt.Sprintf("eventIDs[%d]", i)
		id, err := uuid.Parse(text)
		if err != nil || len(text) != length || id == uuid.Nil {
			bad[field] = "must be a UUID, and not the nil one"
			return nil
		}
		if _, again := seen[id]; again {
			bad[field] = "is given twice"
			return nil
		}
		seen[id] = struct{}{}
		ids[i] = id
	}
	return ids
}

// data is the event's data.
type data struct {
	Recorder string      `json:"recorder"`
	EventIDs []uuid.UUID `json:"event_ids"`
	Reason   string      `json:"reason"`
	User     User        `json:"user"`
}

// event is the record as an event. It is its own trail: the events that it names
// may belong to many trails, or to none.
func (r *Record) event() *ownevent.Event {
	return &ownevent.Event{
		ID: r.ID, Type: EventType, Action: "acknowledge", At: r.At, Outcome: audit.OutcomeSuccess, CorrelationID: r.ID.String(),
		ActorType: "user", ActorID: r.User.Name,
		Data: data{Recorder: r.Recorder, EventIDs: r.EventIDs, Reason: r.Reason, User: r.User},
	}
}

// read returns the record that an event holds, or ErrNotFound: anybody may send
// an event of this type, but only DataStorage records it under its own name.
func read(stored *query.Stored) (Record, error) {
	if stored.Type != EventType || stored.RecordedBy != ownevent.RecordedBy {
		return Record{}, ErrNotFound
	}
	var d data
	if err := json.Unmarshal(stored.Data, &d); err != nil {
		return Record{}, fmt.Errorf("read acknowledgement %s: %w", stored.ID, err)
	}
	return Record{
		Request: Request{Recorder: d.Recorder, EventIDs: d.EventIDs, Reason: d.Reason},
		ID:      stored.ID, User: d.User, At: stored.Timestamp,
	}, nil
}
