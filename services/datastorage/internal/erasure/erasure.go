// Package erasure erases events: their subject fields and data go, with the salts of
// those parts, and the envelope stays, which its commitment still proves.
//
// The role that serves cannot change events. It records a request, and maintenance
// carries it out: all of the request in one transaction, under the lock row that
// placing a hold takes, or nothing. What was erased is on a list, by which maintenance
// erases events again that come back with a backup or from a spool.
package erasure

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

const (
	// MaxEvents bounds the events of a request, which are erased in one transaction.
	MaxEvents = 1000
	// MaxOpen bounds the requests that wait.
	MaxOpen = 1000
	// maxCaller bounds the names of callers, in characters: the bound of actor_id.
	maxCaller = 255
	// kind of the rows of audit_requests.
	kind = "erasure"
)

// Status of a request.
type Status string

// The states of a request. All but the first are final.
const (
	StatusRequested Status = "requested"
	StatusErased    Status = "erased"
	StatusRefused   Status = "refused"
)

var (
	// ErrNotFound means that nobody made a request with this id.
	ErrNotFound = errors.New("no such erasure")
	// ErrConflict means that another request has the id.
	ErrConflict = errors.New("another erasure has this id")
	// ErrCaller means that the name of the caller cannot be recorded.
	ErrCaller = fmt.Errorf("an erasure is recorded under a name of at most %d characters", maxCaller)
	// ErrTooMany means that the bound on waiting requests is reached.
	ErrTooMany = fmt.Errorf("%d erasures wait for `datastorage maintain`: see that it runs", MaxOpen)
)

// EventsError names events that cannot be erased, by their ids; nothing was recorded.
type EventsError struct {
	// Unknown: there is no event with the id.
	Unknown []uuid.UUID
	// Own events of DataStorage tell who erased what, and cannot be erased.
	Own []uuid.UUID
	// Held events are kept by legal holds.
	Held []hold.Keeps
}

// Error names the first event for each reason: the others are in the answer of the API.
func (e *EventsError) Error() string {
	var reasons []string
	add := func(n int, first func() string) {
		switch {
		case n > 1:
			reasons = append(reasons, fmt.Sprintf("%s, and %d more", first(), n-1))
		case n == 1:
			reasons = append(reasons, first())
		}
	}
	add(len(e.Held), func() string { return fmt.Sprintf("legal hold %s keeps event %s", e.Held[0].HoldID, e.Held[0].EventID) })
	add(len(e.Unknown), func() string { return fmt.Sprintf("event %s is not stored", e.Unknown[0]) })
	add(len(e.Own), func() string { return fmt.Sprintf("event %s is DataStorage's own", e.Own[0]) })
	return "nothing is erased: " + strings.Join(reasons, "; ")
}

// Request is an erasure that is asked for.
type Request struct {
	// ID names the erasure; a request that is repeated with it records no second one.
	ID       uuid.UUID
	EventIDs []uuid.UUID
	Reason   string
}

// Erasure is a request that was recorded.
type Erasure struct {
	Request

	// Events is the number of events that the request names.
	Events      int
	RequestedBy string
	RequestedAt time.Time
	Status      Status
	// FinishedAt is nil while the request waits.
	FinishedAt *time.Time
	// Erased is the number of events that the request erased.
	Erased int
	// Missing events had been removed by retention.
	Missing []uuid.UUID
	// Held events are why nothing was erased.
	Held []hold.Keeps
	// Altered events contradict their commitments, and are why nothing was erased.
	Altered []uuid.UUID
	// Own events of DataStorage are why nothing was erased.
	Own []uuid.UUID
	// Unusable: the row is not what Store records, and nothing was erased.
	Unusable bool
}

// NewRequest checks a request. What is wrong with it is returned by field.
func NewRequest(id uuid.UUID, events []uuid.UUID, reason string) (Request, map[string]string) {
	bad := map[string]string{}
	ownevent.CheckText(bad, "reason", reason, hold.MaxReason)
	switch {
	case len(events) == 0:
		bad["event_ids"] = "is required"
	case len(events) > MaxEvents:
		bad["event_ids"] = fmt.Sprintf("must be at most %d ids: erase the others with further requests", MaxEvents)
	}
	if len(bad) > 0 {
		return Request{}, bad
	}
	sorted := slices.Clone(events)
	slices.SortFunc(sorted, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return Request{ID: id, EventIDs: slices.Compact(sorted), Reason: reason}, nil
}
