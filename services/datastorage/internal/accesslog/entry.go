package accesslog

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

// The bounds of one entry.
const (
	// maxValues bounds the values of a filter that are listed, maxValueBytes the length of each, and maxTextBytes
	// all values of an entry together.
	maxValues     = 100
	maxValueBytes = 255
	maxTextBytes  = 8 << 10
	// maxID bounds the bytes of ids in an event.
	maxID = 255
)

// readerTrail begins the correlation ids of events about reads, so that no caller's name is another trail's id.
const readerTrail = "reader:"

// key tells entries apart.
type key struct{ name, uid, kind, shape string }

// entry sums up requests.
type entry struct {
	user             ownevent.User
	kind             string
	denied           *denial // of denied requests
	requests, failed int64
	events           int64
	first, last      time.Time
	filters          map[string][]string
	textBytes        int
	unlisted         int64
}

func newUser(c *auth.Caller) ownevent.User {
	u := ownevent.UserOf(c)
	u.Name = usable(u.Name)
	return u
}

// widen makes it an entry of a caller's other requests, or of everybody's.
func (e *entry) widen(everybody bool) {
	e.kind = kindOthers
	if e.denied != nil {
		e.denied = &denial{status: e.denied.status, network: e.denied.network, reason: kindOthers}
	}
	if everybody {
		e.user = ownevent.User{}
		if e.denied != nil {
			e.denied.network = ""
		}
	}
}

func (e *entry) count(at time.Time) {
	e.requests++
	e.spans(at, at)
}

func (e *entry) add(r *Read, at time.Time) {
	e.count(at)
	if r.Failed {
		e.failed++
	}
	e.events += int64(r.Events)
	for _, f := range r.Filters {
		e.list(f.Name, usable(f.Value))
	}
}

func (e *entry) spans(first, last time.Time) {
	if e.first.IsZero() || first.Before(e.first) {
		e.first = first
	}
	if last.After(e.last) {
		e.last = last
	}
}

// list notes a filter's value, or counts it where there is no room.
func (e *entry) list(name, value string) {
	values := e.filters[name]
	if slices.Contains(values, value) {
		return
	}
	if len(values) == maxValues || e.textBytes+len(value) > maxTextBytes {
		e.unlisted++
		return
	}
	if e.filters == nil {
		e.filters = map[string][]string{}
	}
	e.textBytes += len(value)
	e.filters[name] = append(values, value)
}

// merge adds what could not be recorded before.
func (e *entry) merge(before *entry) {
	e.requests += before.requests
	e.failed += before.failed
	e.events += before.events
	e.unlisted += before.unlisted
	e.spans(before.first, before.last)
	for name, values := range before.filters {
		for _, value := range values {
			e.list(name, value)
		}
	}
}

// event is the entry as an event.
func (e *entry) event() (*audit.Event, error) {
	if e.denied != nil {
		return e.deniedEvent()
	}
	data, err := json.Marshal(read{
		User: e.user, Kind: e.kind, Requests: e.requests, Failed: e.failed, Events: e.events,
		FirstAt: e.first.UTC(), LastAt: e.last.UTC(), Filters: e.filters, Unlisted: e.unlisted,
	})
	if err != nil {
		return nil, fmt.Errorf("encode an event about reads: %w", err)
	}
	outcome := audit.OutcomeSuccess
	if e.failed == e.requests {
		outcome = audit.OutcomeFailure
	}
	return e.made(&audit.Event{Type: EventsRead, Action: "read", Outcome: outcome, CorrelationID: readerTrail + e.user.Name, Data: data}), nil
}

// made completes an event.
func (e *entry) made(made *audit.Event) *audit.Event {
	made.ID = uuid.Must(uuid.NewV7())
	made.Timestamp, made.Category, made.CorrelationID = e.last, ownevent.Category, wire.Truncate(made.CorrelationID, maxID)
	if e.user.Name != "" {
		made.ActorType, made.ActorID = "user", wire.Truncate(e.user.Name, maxID)
	}
	return made
}

// usable makes a text that an event can carry of what a client sent.
func usable(text string) string { return printable.Storable(text, maxValueBytes) }
