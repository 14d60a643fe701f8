// Package flushhttp serves POST /audit/flush, which flushes an audit store from outside of its process, and calls it.
package flushhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

const (
	// DefaultTimeout bounds a flush whose request names no timeout.
	DefaultTimeout = 30 * time.Second
	// MaxTimeout is the longest timeout that a request may name.
	MaxTimeout = 5 * time.Minute
	// MaxConcurrent is how many flushes a Handler serves at the same time. One host has half of them at most.
	MaxConcurrent = 32
)

// The parameters of a request.
const (
	ParameterCorrelationID = "correlation_id"
	ParameterTimeout       = "timeout"
)

// flushProblem is the problem document of a flush that did not prove that everything is stored. It has counts and the
// token, because the port that serves it asks nobody who they are: ids and reasons are elsewhere.
type flushProblem struct {
	wire.Problem

	Barrier          uint64 `json:"barrier,omitempty"`
	Events           int    `json:"events,omitempty"`
	Stored           int    `json:"stored,omitempty"`
	Pending          int    `json:"pending,omitempty"`
	Spooled          int    `json:"spooled,omitempty"`
	Rejected         int    `json:"rejected,omitempty"`
	Lost             int    `json:"lost,omitempty"`
	ConsistencyToken string `json:"consistency_token,omitempty"`
	Sink             string `json:"sink,omitempty"`
	// Spool says what is wrong with the spool, Stalled counts the pending events that the sink does not take, by reason.
	Spool   string         `json:"spool,omitempty"`
	Stalled map[string]int `json:"stalled,omitempty"`
}

// Flusher proves that what it accepted is stored. A *audit.Store is one.
type Flusher interface {
	// Flush and FlushFor return what those of Store do. An error may also wrap an *audit.SinkError: the storage does
	// not respond, so nothing is known.
	Flush(ctx context.Context) (audit.Receipt, error)
	FlushFor(ctx context.Context, correlationID string) (audit.Receipt, error)
}

// Handler serves POST /audit/flush: it flushes everything, or with ?correlation_id= the events of one correlation id,
// within the request's context and ?timeout=, a Go duration of at most MaxTimeout (DefaultTimeout if missing).
//
// It responds with 200 and the Receipt as JSON; 504 while events are pending; 409 if events are rejected or lost; 503
// if nothing is known; or 429 while the caller's share of MaxConcurrent flushes waits. The problem documents have counts and the consistency
// token, but no ids and no event data. The flushes are those of audit.Remote: many of them make no more attempts of a
// sink that is down than a few.
func Handler(f Flusher) http.Handler {
	waiting := newPlaces(MaxConcurrent)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writeProblem(w, &flushProblem{Problem: wire.NewProblem(http.StatusMethodNotAllowed, "use POST to flush")})
			return
		}
		correlationID, timeout, err := parameters(r)
		if err != nil {
			writeProblem(w, &flushProblem{Problem: wire.ValidationProblem(nil, err.Error())})
			return
		}
		caller := callerOf(r)
		if !waiting.take(caller) {
			writeProblem(w, &flushProblem{Problem: wire.NewProblem(http.StatusTooManyRequests, "as many flushes as this caller may have are waiting already")})
			return
		}
		defer waiting.giveBack(caller)
		ctx, cancel := context.WithTimeout(audit.Remote(r.Context()), timeout)
		defer cancel()
		var receipt audit.Receipt
		if correlationID == "" {
			receipt, err = f.Flush(ctx)
		} else {
			receipt, err = f.FlushFor(ctx, correlationID)
		}
		if err != nil {
			writeProblem(w, problemOf(receipt, err))
			return
		}
		writeJSON(w, http.StatusOK, "application/json", receipt)
	})
}

func parameters(r *http.Request) (correlationID string, timeout time.Duration, err error) {
	timeout = DefaultTimeout
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", 0, fmt.Errorf("parameters %q: %w", r.URL.RawQuery, err)
	}
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return "", 0, fmt.Errorf("parameter %q: must have one value", name)
		}
		switch name {
		case ParameterCorrelationID:
			correlationID = values[0]
		case ParameterTimeout:
			timeout, err = time.ParseDuration(values[0])
			if err != nil || timeout <= 0 || timeout > MaxTimeout {
				return "", 0, fmt.Errorf("parameter %q: must be a duration like 10s, of at most %v", name, MaxTimeout)
			}
		default:
			// A misspelled correlation_id must not turn into a flush of something else.
			return "", 0, fmt.Errorf("parameter %q: unknown, use %s or %s", name, ParameterCorrelationID, ParameterTimeout)
		}
	}
	return correlationID, timeout, nil
}

// problemOf tells a flush that ran out of time from one that has failures to report.
func problemOf(receipt audit.Receipt, err error) *flushProblem {
	var flush *audit.FlushError
	var sink *audit.SinkError
	switch {
	case errors.As(err, &flush):
	case errors.As(err, &sink):
		return &flushProblem{Problem: wire.NewProblem(http.StatusServiceUnavailable, "the storage for events does not respond")}
	default:
		return &flushProblem{Problem: wire.NewProblem(http.StatusInternalServerError, "the flush failed")}
	}
	p := &flushProblem{
		Barrier: receipt.Barrier, Events: flush.Events, Stored: flush.Stored, Pending: flush.Pending, Spooled: flush.Spooled,
		Rejected: len(flush.Rejected) + flush.RejectedUnnamed, Lost: len(flush.Lost) + flush.LostUnnamed,
		ConsistencyToken: receipt.ConsistencyToken,
	}
	p.Spool = audit.SpoolFailure(flush.SpoolError)
	if flush.Pending > 0 {
		p.Problem = wire.Problem{
			Type: wire.ProblemTypeBase + "flush-pending", Title: "Events are still pending", Status: http.StatusGatewayTimeout,
			Detail: p.explainPending(flush),
		}
		return p
	}
	p.Problem = wire.Problem{
		Type: wire.ProblemTypeBase + "flush-incomplete", Title: "Events were not stored", Status: http.StatusConflict,
		Detail: fmt.Sprintf("%d rejected and %d lost events are not acknowledged; GET /audit/rejections of the control listener names them",
			p.Rejected, p.Lost),
	}
	return p
}

// explainPending says why events are pending.
func (p *flushProblem) explainPending(flush *audit.FlushError) string {
	text := fmt.Sprintf("%d of %d events are still pending", flush.Pending, flush.Events)
	stalled := len(flush.Stalled) + flush.StalledUnnamed
	if flush.SinkError != nil || stalled < flush.Pending {
		p.Sink = audit.SinkState(flush.SinkError)
		text += "; " + p.Sink
	}
	if stalled > 0 {
		p.Stalled = make(map[string]int)
		for _, e := range flush.Stalled {
			p.Stalled[e.Code]++
		}
		if flush.StalledUnnamed > 0 {
			p.Stalled[moreStalled] = flush.StalledUnnamed
		}
		text += fmt.Sprintf("; the sink does not take %d of them: GET /audit/rejections of the control listener names them", stalled)
	}
	if p.Spool != "" {
		text += "; " + p.Spool
	}
	return text
}

// moreStalled counts the stalled events whose reason is not told.
const moreStalled = "more"

func writeProblem(w http.ResponseWriter, p *flushProblem) {
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.Status, wire.ProblemMediaType, p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, document any) {
	encoded, err := json.Marshal(document)
	if err != nil { // unreachable: the documents consist of numbers and texts
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // fails only if the client is gone
}
