package erasure

import (
	"github.com/google/uuid"

	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

// The types of the events about erasures.
const (
	Requested = "datastorage.erasure.requested"
	Completed = "datastorage.erasure.completed"
	Refused   = "datastorage.erasure.refused"
)

type requestedData struct {
	// Events is the number of events that are to be erased.
	Events int `json:"events"`
	// Reason that the caller gave.
	Reason string `json:"reason"`
	// User who asked for it; missing without authentication.
	User *ownevent.User `json:"user,omitempty"`
}

type completedData struct {
	// EventIDs are the events that were erased. Their subject fields and data are gone.
	EventIDs []uuid.UUID `json:"event_ids"`
	// Reason that the caller gave.
	Reason string `json:"reason"`
	// Missing is the number of events that retention had removed.
	Missing int `json:"missing"`
	// Again: the events had come back with a backup, or from a spool, and were erased again.
	Again bool `json:"again,omitempty"`
}

type refusedData struct {
	// Held is the number of events that legal holds keep.
	Held int `json:"held"`
	// Altered is the number of events that their commitments contradict.
	Altered int `json:"altered"`
	// Own is the number of events that DataStorage recorded itself.
	Own int `json:"own,omitempty"`
	// Unusable: what was recorded is not a request that the API takes.
	Unusable bool `json:"unusable,omitempty"`
	// Reason that the caller gave; empty if it is unusable.
	Reason string `json:"reason"`
}

// Catalog lists the events about erasures.
func Catalog() []eventcatalog.Entry {
	const trail = "the erasure's id"
	return []eventcatalog.Entry{
		{
			Type: Requested, When: "somebody asks for the erasure of events; it is stored in the transaction that records the request",
			Trail: trail, Outcomes: []audit.Outcome{audit.OutcomePending}, Data: []any{requestedData{}},
		},
		{
			Type: Completed, When: "events are erased; it is stored in the transaction that erases them",
			Trail: trail, Outcomes: []audit.Outcome{audit.OutcomeSuccess}, Data: []any{completedData{}},
		},
		{
			Type: Refused, When: "nothing is erased, because legal holds keep events, because events were altered or are DataStorage's own, or because the request is unusable",
			Trail: trail, Outcomes: []audit.Outcome{audit.OutcomeFailure}, Data: []any{refusedData{}},
		},
	}
}
