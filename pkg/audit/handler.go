package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// defaultFlushTimeout bounds a flush from outside that names no timeout.
	defaultFlushTimeout = 30 * time.Second
	// maxFlushTimeout is the longest that a request may ask for.
	maxFlushTimeout = 5 * time.Minute

	problemBase = "https://kubernaut.ai/problems/"
)

// flushProblem is the RFC 9457 document of a flush that is no proof. It has
// counts and names of events, never their contents, and so no reasons either.
type flushProblem struct {
	Type            string       `json:"type"`
	Title           string       `json:"title"`
	Status          int          `json:"status"`
	Detail          string       `json:"detail,omitempty"`
	Barrier         uint64       `json:"barrier,omitempty"`
	Events          int          `json:"events,omitempty"`
	Stored          int          `json:"stored,omitempty"`
	Pending         int          `json:"pending,omitempty"`
	Spooled         int          `json:"spooled,omitempty"`
	Sink            string       `json:"sink,omitempty"`
	PendingEvents   []Reference  `json:"pending_events,omitempty"`
	Rejected        []refusedRef `json:"rejected,omitempty"`
	RejectedUnnamed int          `json:"rejected_unnamed,omitempty"`
	Lost            []Reference  `json:"lost,omitempty"`
	LostUnnamed     int          `json:"lost_unnamed,omitempty"`
}

type refusedRef struct {
	Reference

	Code string `json:"code"`
}

// Flusher proves that what it accepted is stored. A *Store is one.
type Flusher interface {
	// Flush and FlushFor answer as those of Store. Besides, an error may hold a
	// *SinkError: nothing can be said while the place of storage does not answer.
	Flush(ctx context.Context) (Receipt, error)
	FlushFor(ctx context.Context, correlationID string) (Receipt, error)
}

// FlushHandler serves POST /audit/flush: it flushes everything, or
// with ?correlation_id= the events of one correlation id, within the request's
// context and ?timeout=, a Go duration of at most 5m (30s where it is missing).
//
// It answers 200 with the Receipt as JSON, 504 with what is still owed, 409
// with the rejected and lost events, or 503 when nothing can be said. It takes
// no data and gives none.
func FlushHandler(f Flusher) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writeProblem(w, flushProblem{
				Type: problemBase + "method-not-allowed", Title: "Method Not Allowed",
				Status: http.StatusMethodNotAllowed, Detail: "flush with POST",
			})
			return
		}
		correlationID, timeout, err := flushParameters(r)
		if err != nil {
			writeProblem(w, flushProblem{
				Type: problemBase + "validation-error", Title: "Validation Error", Status: http.StatusBadRequest, Detail: err.Error(),
			})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		var receipt Receipt
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

func flushParameters(r *http.Request) (correlationID string, timeout time.Duration, err error) {
	timeout = defaultFlushTimeout
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", 0, fmt.Errorf("parameters %q: %w", r.URL.RawQuery, err)
	}
	for name, values := range parameters {
		if len(values) != 1 || values[0] == "" {
			return "", 0, fmt.Errorf("parameter %q: must have one value", name)
		}
		switch name {
		case "correlation_id":
			correlationID = values[0]
		case "timeout":
			timeout, err = time.ParseDuration(values[0])
			if err != nil || timeout <= 0 || timeout > maxFlushTimeout {
				return "", 0, fmt.Errorf("parameter %q: must be a duration like 10s, of at most %v", name, maxFlushTimeout)
			}
		default:
			// A mistyped correlation_id must not turn into a flush of something else.
			return "", 0, fmt.Errorf("parameter %q: unknown, use correlation_id or timeout", name)
		}
	}
	return correlationID, timeout, nil
}

// problemOf tells a flush that ran out of time from one that has failures to report.
func problemOf(receipt Receipt, err error) flushProblem {
	e, ok := errors.AsType[*FlushError](err)
	if _, away := errors.AsType[*SinkError](err); away && !ok {
		return flushProblem{
			Type: problemBase + "service-unavailable", Title: "Service Unavailable", Detail: "the place where events are stored does not answer",
			Status: http.StatusServiceUnavailable,
		}
	}
	if !ok {
		return flushProblem{
			Type: problemBase + "internal-server-error", Title: "Internal Server Error", Detail: "the flush failed", Status: http.StatusInternalServerError,
		}
	}
	p := flushProblem{
		Barrier: receipt.Barrier, Events: e.Events, Stored: e.Stored,
		Pending: e.Pending, Spooled: e.Spooled, PendingEvents: e.PendingEvents,
		RejectedUnnamed: e.RejectedUnnamed, Lost: e.Lost, LostUnnamed: e.LostUnnamed,
	}
	for _, r := range e.Rejected {
		p.Rejected = append(p.Rejected, refusedRef{Reference: r.Reference, Code: r.Code})
	}
	if e.Pending > 0 {
		p.Type, p.Title, p.Status = problemBase+"flush-pending", "Events are still owed", http.StatusGatewayTimeout
		p.Sink = sinkState(e.SinkError)
		p.Detail = fmt.Sprintf("%d of %d events are still owed; %s", e.Pending, e.Events, p.Sink)
		return p
	}
	p.Type, p.Title, p.Status = problemBase+"flush-incomplete", "Events were not stored", http.StatusConflict
	p.Detail = fmt.Sprintf("%d rejected and %d lost events wait to be acknowledged",
		len(e.Rejected)+e.RejectedUnnamed, len(e.Lost)+e.LostUnnamed)
	return p
}

// sinkState says why events are owed, without the words of a peer, which may
// quote what it was sent; the store's log has those.
func sinkState(err error) string {
	if err == nil {
		return "the sink has not answered yet"
	}
	sinkErr, ok := errors.AsType[*SinkError](err)
	if ok && sinkErr.Status != 0 {
		return fmt.Sprintf("the sink answers %d %s", sinkErr.Status, http.StatusText(sinkErr.Status))
	}
	return "the sink cannot be reached"
}

func writeProblem(w http.ResponseWriter, p flushProblem) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.Status, problemType, p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // not reachable: the documents have only numbers and texts
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // the client is gone if this fails
}
