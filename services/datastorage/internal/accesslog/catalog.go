package accesslog

import (
	"time"

	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

// The types of the events about access.
const (
	EventsRead    = "datastorage.events.read"
	RequestDenied = "datastorage.request.denied"
)

// read is the data of EventsRead.
type read struct {
	// User who read.
	User ownevent.User `json:"user"`
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

// denied is the data of RequestDenied.
type denied struct {
	// User whose requests were denied; missing if the caller is unknown.
	User *ownevent.User `json:"user,omitempty"`
	// Network that the requests of an unknown caller came from: a /24 of IPv4, a /64 of IPv6.
	Network string `json:"network,omitempty"`
	// Status of the answers: 401 if the caller is unknown, else 403, also where only a part of a request was denied.
	Status int `json:"status"`
	// Reason why the caller is unknown: no_token, unknown_token, expired_token, other_audience, not_forwarded or no_user.
	// Or why a caller with the permission was denied: unusable_user (its name cannot be recorded), reserved_type or
	// other_producer (of events that it may not write), or unspecified. It is others where there were too many requests to
	// tell them apart.
	Reason string `json:"reason,omitempty"`
	// Verb of the permission that is missing.
	Verb string `json:"verb,omitempty"`
	// Resource of the permission, with its API group, and the first part of the event type if it is about one.
	Resource string `json:"resource,omitempty"`
	// Method of the requests.
	Method string `json:"method,omitempty"`
	// Route is the pattern that the paths of the requests matched.
	Route string `json:"route,omitempty"`
	// Requests is how many were denied.
	Requests int64 `json:"requests"`
	// FirstAt is the time of the first request.
	FirstAt time.Time `json:"first_at"`
	// LastAt is the time of the last one.
	LastAt time.Time `json:"last_at"`
}

// Catalog lists the events about access.
func Catalog() []eventcatalog.Entry {
	return []eventcatalog.Entry{{
		Type:  EventsRead,
		When:  "a caller read events, their counts, or lists of legal holds and erasures; it sums up the requests of a minute with the same filters, and is recorded then, or at a flush or stop",
		Trail: "reader: and the caller's name", Outcomes: []audit.Outcome{audit.OutcomeSuccess, audit.OutcomeFailure}, Data: []any{read{}},
	}, {
		Type:  RequestDenied,
		When:  "requests were denied, because their caller is unknown, lacks a permission, or may not make this request; it sums up those of a minute to the same route for the same reason, and is recorded then, or at a flush or stop",
		Trail: "reader: and the caller's name, or denied: and the network of an unknown caller", Outcomes: []audit.Outcome{audit.OutcomeFailure}, Data: []any{denied{}},
	}}
}
