package accesslog

import (
	"time"

	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// EventsRead is the type of the events about reads.
const EventsRead = "datastorage.events.read"

// User is a caller, as far as DataStorage knows it.
type User struct {
	// Name of the caller; missing where callers are not authenticated.
	Name string `json:"name,omitempty"`
	// UID of the caller, if the API server names one.
	UID string `json:"uid,omitempty"`
	// Groups of the caller, the first 32 of them.
	Groups []string `json:"groups,omitempty"`
}

// read is the data of EventsRead.
type read struct {
	// User who read.
	User User `json:"user"`
	// Kind of the requests: list, get, stats, reconstruct, holds, erasures or preview, with people_ in front for
	// requests through the API server; others where the caller made requests of too many kinds to tell them apart.
	Kind string `json:"kind"`
	// Requests is how many the caller made.
	Requests int64 `json:"requests"`
	// Failed is how many of them got an error instead of an answer.
	Failed int64 `json:"failed,omitempty"`
	// Events is how many events the answers had.
	Events int64 `json:"events"`
	// FirstAt is the time of the first request.
	FirstAt time.Time `json:"first_at"`
	// LastAt is the time of the last one.
	LastAt time.Time `json:"last_at"`
	// Filters of the requests, by name, each with its first values; a value has at most 255 bytes.
	Filters map[string][]string `json:"filters,omitempty"`
	// Unlisted counts the filters whose value is not listed, because there are too many.
	Unlisted int64 `json:"unlisted,omitempty"`
}

// Catalog lists the events about access.
func Catalog() []eventcatalog.Entry {
	return []eventcatalog.Entry{{
		Type:  EventsRead,
		When:  "a caller read events, their counts, or lists of legal holds and erasures; it sums up the requests of a minute with the same filters, and is recorded then, or at a flush or stop",
		Trail: "reader: and the caller's name", Outcomes: []audit.Outcome{audit.OutcomeSuccess, audit.OutcomeFailure}, Data: []any{read{}},
	}}
}
