// Package hold keeps legal holds: events that no retention run and no erasure
// removes until the hold is released. Placing and releasing a hold are events,
// which are stored in the same transaction.
//
// A retention run removes events under the lock row that placing a hold takes, and
// reads the holds under it. So once a hold is placed, no later run removes an event
// that matches it, also one that is stored after the hold.
package hold

import (
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	// MaxReason bounds reasons, in characters.
	MaxReason = 1024
	// maxCorrelationID bounds a correlation id, in characters.
	maxCorrelationID = 255
	// MaxFilters bounds the holds on filters that are in force: a retention run asks
	// for every event whether one of them matches.
	MaxFilters = 100
	// MaxCorrelationIDs bounds the holds on correlation ids alone.
	MaxCorrelationIDs = 10_000
)

// Request is a hold to be placed: on a correlation id, or on a filter.
type Request struct {
	// ID names the hold; a request that is repeated with it places no second one.
	ID            uuid.UUID
	CorrelationID string
	// Filter has times as they were when the hold was asked for.
	Filter query.Filter
	Reason string
	// sent is the filter as it was sent, with times that may be relative to at.
	sent query.Filter
	at   time.Time
}

// Hold is a hold that was placed.
type Hold struct {
	Request

	PlacedBy string
	PlacedAt time.Time
	// ReleasedAt is nil while the hold is in force.
	ReleasedAt                *time.Time
	ReleasedBy, ReleaseReason string
	// Unusable: the row is malformed. While the hold is in force, it keeps all events.
	Unusable bool
}

// same reports whether a repeated request means this hold. Its relative times count from the first request.
func (h *Hold) same(r *Request, by string) bool {
	filter := r.Filter
	if resolved, err := r.sent.Resolve(h.PlacedAt); err == nil {
		filter = resolved
	}
	return h.CorrelationID == r.CorrelationID && maps.Equal(h.Filter, filter) && h.Reason == r.Reason && h.PlacedBy == by
}

// NewRequest checks a request. What is wrong with it is returned by field.
func NewRequest(id uuid.UUID, correlationID string, filter query.Filter, reason string, now time.Time) (Request, map[string]string) {
	bad := map[string]string{}
	CheckReason(bad, reason)
	r := Request{ID: id, CorrelationID: correlationID, Reason: reason, sent: filter, at: now.UTC().Truncate(time.Microsecond)}
	switch {
	case (correlationID == "") == (len(filter) == 0):
		bad["correlation_id"] = "or filter is required, and not both"
	case correlationID != "":
		ownevent.CheckText(bad, "correlation_id", correlationID, maxCorrelationID)
		if strings.HasSuffix(correlationID, "*") {
			bad["correlation_id"] = "must be a whole one: only the filter event_type takes the beginning of a value, as in gateway.*"
		}
	default:
		var err error
		if r.Filter, err = filter.Resolve(r.at); err != nil {
			wrong, ok := errors.AsType[*query.ParamError](err)
			if !ok {
				bad["filter"] = err.Error()
				break
			}
			for name, reason := range wrong.Fields {
				bad["filter."+name] = reason
			}
		}
	}
	if len(bad) > 0 {
		return Request{}, bad
	}
	return r, nil
}

// CheckReason checks the reason of a hold or of its release.
func CheckReason(bad map[string]string, reason string) {
	ownevent.CheckText(bad, "reason", reason, MaxReason)
}
