package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Sink stores batches of events durably.
//
// Write must store every event of the batch, or none: nil means that all of
// them are committed and visible to every query that follows. An event that
// was stored before, by its ID, counts as stored. An error that rejects events
// for good is a *RefusedError or wraps ErrRefused; after any other error the
// events stay pending and are sent again, so a Write that failed after it had
// stored the events does no harm. Two errors are about a batch alone: one that
// wraps ErrTooLarge says that a smaller batch may pass, and a *ForbiddenError
// names events that the caller may not store for now.
//
// Write must return soon after its context ended, and must neither change the
// batch nor keep it after it returned. A store calls it from several goroutines at
// a time (see WithInFlight).
//
// The conformance suite in package audittest checks all of this.
type Sink interface {
	Write(ctx context.Context, batch []Event) (Ack, error)
}

// Ack is a sink's answer to a stored batch.
type Ack struct {
	// ConsistencyToken can be passed to a query, which then covers this batch.
	ConsistencyToken string
	// Created and Duplicates count the events that were new, and those that were stored before.
	Created, Duplicates int
}

// Limits bound a batch; zero means no bound.
type Limits struct {
	Events, Bytes int
}

// LimitedSink is implemented by a sink that takes batches up to a size only.
// The store cuts its batches accordingly.
type LimitedSink interface {
	Sink
	Limits() Limits
}

// ErrRefused is wrapped by errors that say that a batch will never be stored
// as it is. Where the error does not name the offenders the store finds them
// by sending halves.
var ErrRefused = errors.New("refused for good")

// ErrTooLarge is wrapped by errors that say that a batch is too large for the sink
// or for something in front of it, without naming an event. The store sends
// halves; an event that is too large by itself is stalled: it stays pending, and
// is tried again.
var ErrTooLarge = errors.New("too large")

// ErrForbidden is wrapped by a ForbiddenError.
var ErrForbidden = errors.New("forbidden")

// ForbiddenError names the events of a batch that the caller may not store. They
// are stalled: they stay pending, and are tried again, because a permission may
// be granted. The others are sent without them.
type ForbiddenError struct {
	// Items are those events; the others would have been stored without them.
	Items []Refusal
}

// Error names the first event and counts the others.
func (e *ForbiddenError) Error() string { return namingFirst(ErrForbidden, e.Items) }

// Unwrap makes errors.Is(err, ErrForbidden) hold.
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// RefusedError is a refusal that names the offending events of a batch.
type RefusedError struct {
	// Items are the offenders; the others would have been stored without them.
	Items []Refusal
}

// Refusal is one offending event of a batch.
type Refusal struct {
	// Index is the event's position in the batch, from 0.
	Index int
	// Code is a short constant: invalid, conflict or too_large.
	Code string
	// Reason says what is wrong with the event.
	Reason string
}

// Error names the first offender and counts the others.
func (e *RefusedError) Error() string { return namingFirst(ErrRefused, e.Items) }

// namingFirst says what became of the first of some events, and counts the others.
func namingFirst(what error, items []Refusal) string {
	if len(items) == 0 {
		return what.Error()
	}
	first := items[0]
	text := fmt.Sprintf("event %d of the batch is %v: %s", first.Index, what, first.Reason)
	if more := len(items) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Unwrap makes errors.Is(err, ErrRefused) hold.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// SinkError is a failure that may pass: the events stay pending.
type SinkError struct {
	// Status is the HTTP status of the answer, 0 where there was none.
	Status int
	// RetryAfter is how long the sink asked to be left alone, 0 where it did not.
	RetryAfter time.Duration
	// Detail is what the answer said, possibly empty.
	Detail string
	// Err is the cause where there was no usable answer.
	Err error
}

// Error says what answered, or that nothing did.
func (e *SinkError) Error() string {
	var parts []string
	if e.Status != 0 {
		parts = append(parts, fmt.Sprintf("sink answered %d %s", e.Status, http.StatusText(e.Status)))
	} else {
		parts = append(parts, "sink not reached")
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (e *SinkError) Unwrap() error { return e.Err }
