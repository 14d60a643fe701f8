package audit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

var (
	// ErrClosed is returned by Record after Close was called.
	ErrClosed = errors.New("audit store is closed")
	// ErrFull is wrapped by the error of a Record that found no capacity; the
	// error names the bound. The event was not accepted.
	ErrFull = errors.New("audit store is full")
	// ErrInDoubt is wrapped by the error of a Record that failed after the event
	// may already have been persisted: its context ended while it waited for the
	// disk or the sink, or the disk failed. The event may be stored later, or not;
	// recording it again with the same ID is safe.
	ErrInDoubt = errors.New("event is in doubt")
)

// Reference names an event without its data.
type Reference struct {
	ID            uuid.UUID `json:"event_id"`
	Type          string    `json:"event_type"`
	CorrelationID string    `json:"correlation_id"`
}

func (e *Event) reference() Reference {
	return Reference{ID: e.ID, Type: e.Type, CorrelationID: e.CorrelationID}
}

// Rejection names an event that the sink rejected for good, and says why.
type Rejection struct {
	Reference

	// Code is a short constant: invalid, conflict, too_large or refused; and damaged
	// for an entry of the quarantine that stands for events that the spool lost.
	Code string `json:"code"`
	// Reason is the sink's, for people. It may quote the event.
	Reason string `json:"reason"`
}

// RejectedError is what a Record of Stored durability returns when the sink
// rejected its event for good. The event is in quarantine as well.
type RejectedError struct {
	Rejection
}

// Error names the event and the reason.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("record audit event %s %s: rejected: %s", e.Type, e.ID, e.Reason)
}

// FlushError says why a flush, or Close, is no proof that everything is stored.
type FlushError struct {
	// Events is how many events were pending when the call began, Stored how many of them are stored by now.
	Events, Stored int
	// Pending is how many of them are still pending; PendingEvents names the first 1,000.
	Pending       int
	PendingEvents []Reference
	// Spooled is how many of the pending are on disk: they outlive the process.
	Spooled int
	// Stalled names those of the pending that the sink does not take for now, while
	// it takes others; StalledUnnamed counts those above the first 1,000.
	Stalled        []StalledEvent
	StalledUnnamed int
	// Rejected are the rejected events that nobody acknowledged, of this call and
	// of earlier ones; RejectedUnnamed counts those above the first 1,000.
	Rejected        []Rejection
	RejectedUnnamed int
	// RejectedPersisted says that the rejected events are on disk: they, and the
	// report of them, outlive the process.
	RejectedPersisted bool
	// Lost are the events that nobody acknowledged and that will not be stored,
	// because they were pending when a Close gave up, or because the spool was
	// damaged. An event whose write was under way when Close gave up may be stored
	// nevertheless. LostUnnamed counts those that have no name: above the first
	// 1,000, or unreadable. An entry of type audit.spool.damaged stands for
	// everything that the spool had lost when it was opened: acknowledging it
	// acknowledges all of that; LostUnnamed counts what is more than one event.
	Lost        []Reference
	LostUnnamed int
	// Cause is the context's error, or ErrClosed, if the call ended early, else nil.
	Cause error
	// SinkError is the newest failure of the sink when events are pending or
	// lost: why they are not stored. It is nil if the sink did not fail.
	SinkError error
	// SpoolError is the newest failure of the spool when events are pending or
	// lost; nil while it works.
	SpoolError error
}

// Persisted reports whether nothing is lost, and every pending and every rejected
// event is on disk: the next process that opens the spool sends the ones and
// reports the others. After a Close that is a clean stop.
func (e *FlushError) Persisted() bool {
	return e.lost() == 0 && (e.rejected() == 0 || e.RejectedPersisted) && e.Pending == e.Spooled
}

// Error gives the counts, the cause and the first of each kind.
func (e *FlushError) Error() string {
	var parts []string
	if e.Pending > 0 {
		text := fmt.Sprintf("%d of %d events are still pending", e.Pending, e.Events)
		switch {
		case e.Spooled == e.Pending:
			text += ", all of them in the spool"
		case e.Spooled > 0:
			text += fmt.Sprintf(", %d of them in the spool", e.Spooled)
		}
		parts = append(parts, text)
	}
	if n := len(e.Stalled) + e.StalledUnnamed; n > 0 {
		text := fmt.Sprintf("%d of them are stalled", n)
		if len(e.Stalled) > 0 {
			stalled := e.Stalled[0]
			text += fmt.Sprintf(", first %s %s of %q: %s", stalled.Type, stalled.ID, stalled.CorrelationID, stalled.Reason)
		}
		parts = append(parts, text)
	}
	if n := e.rejected(); n > 0 {
		text := fmt.Sprintf("%d rejected", n)
		if len(e.Rejected) > 0 {
			r := e.Rejected[0]
			text += fmt.Sprintf(", first %s %s of %q: %s", r.Type, r.ID, r.CorrelationID, r.Reason)
		}
		parts = append(parts, text)
	}
	if n := e.lost(); n > 0 {
		text := fmt.Sprintf("%d lost", n)
		if len(e.Lost) > 0 {
			l := e.Lost[0]
			text += fmt.Sprintf(", first %s %s of %q", l.Type, l.ID, l.CorrelationID)
		}
		parts = append(parts, text)
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	if e.SinkError != nil {
		parts = append(parts, "last failure of the sink: "+e.SinkError.Error())
	}
	if e.SpoolError != nil {
		parts = append(parts, "last failure of the spool: "+e.SpoolError.Error())
	}
	return "flush audit events: " + strings.Join(parts, "; ")
}

// Unwrap gives the context's error, so that errors.Is finds it. The sink's error
// is not part of the chain: its own timeout is not the caller's.
func (e *FlushError) Unwrap() error { return e.Cause }

func (e *FlushError) rejected() int { return len(e.Rejected) + e.RejectedUnnamed }

func (e *FlushError) lost() int { return len(e.Lost) + e.LostUnnamed }
