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
	// ErrFull is returned, or wrapped, by Record when the store owes as much
	// as it may. The event was not accepted.
	ErrFull = errors.New("audit store is full")
	// ErrInDoubt is wrapped by the error of a Record that failed after the event
	// may already have been kept: its context ended while it waited for the disk
	// or the sink, or the disk failed. The event may be stored later on, or not;
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

// Rejection names an event that the sink refused for good, and says why.
type Rejection struct {
	Reference

	// Code is a short constant: invalid, conflict, too_large, refused, or damaged
	// for events of which the spool has lost the contents.
	Code string `json:"code"`
	// Reason is the sink's, for people. It may quote the event.
	Reason string `json:"reason"`
}

// RejectedError is what a Record of Stored durability returns when the sink
// refused its event for good. The event is in quarantine as well.
type RejectedError struct {
	Rejection
}

// Error names the event and the reason.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("record audit event %s %s: rejected: %s", e.Type, e.ID, e.Reason)
}

// FlushError says why a flush, or Close, is no proof that everything is stored.
type FlushError struct {
	// Events is how many events were owed when the call began, Stored how many of them are stored by now.
	Events, Stored int
	// Pending is how many of them are still owed; PendingEvents names the first 1,000.
	Pending       int
	PendingEvents []Reference
	// Spooled is how many of the pending are on disk: they outlive the process.
	Spooled int
	// Rejected are the refused events that nobody acknowledged, of this call
	// and of earlier ones; RejectedUnnamed counts those above the first 1,000.
	Rejected        []Rejection
	RejectedUnnamed int
	// Lost are the events that were owed when a Close gave up, and that nobody
	// acknowledged; LostUnnamed counts those above the first 1,000. An event
	// whose write was under way at that moment may be stored nevertheless.
	Lost        []Reference
	LostUnnamed int
	// Cause is the context's error when the call ended early, else nil.
	Cause error
	// SinkError is the newest failure of the sink when events are pending or
	// lost: why they are still owed. It is nil where the sink did not fail.
	SinkError error
	// SpoolError is the newest failure of the spool when events are pending or
	// lost; nil where it works.
	SpoolError error
}

// Error gives the counts, the cause and the first of each kind.
func (e *FlushError) Error() string {
	var parts []string
	if e.Pending > 0 {
		text := fmt.Sprintf("%d of %d events are still owed", e.Pending, e.Events)
		if e.Spooled > 0 {
			text += fmt.Sprintf(", %d of them in the spool", e.Spooled)
		}
		parts = append(parts, text)
	}
	if n := len(e.Rejected) + e.RejectedUnnamed; n > 0 {
		text := fmt.Sprintf("%d rejected", n)
		if len(e.Rejected) > 0 {
			r := e.Rejected[0]
			text += fmt.Sprintf(", first %s %s of %q: %s", r.Type, r.ID, r.CorrelationID, r.Reason)
		}
		parts = append(parts, text)
	}
	if n := len(e.Lost) + e.LostUnnamed; n > 0 {
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
		parts = append(parts, "last failure: "+e.SinkError.Error())
	}
	if e.SpoolError != nil {
		parts = append(parts, "last failure of the spool: "+e.SpoolError.Error())
	}
	return "flush audit events: " + strings.Join(parts, "; ")
}

// Unwrap gives the context's error, so that errors.Is finds it. The sink's
// error is not part of the chain: its own timeout is not the caller's.
func (e *FlushError) Unwrap() error { return e.Cause }
