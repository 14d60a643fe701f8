package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kubernaut.ai/pkg/service/problem"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

const (
	flushTimeout    = 30 * time.Second
	maxFlushTimeout = 5 * time.Minute
)

// flushHandler answers POST /audit/flush as the services with an audit store
// do (kubernaut.ai/pkg/audit, FlushHandler): once every request that was taken
// before the call is answered. DataStorage owes no other events.
func flushHandler(w *ingest.Writer) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if err := flush(w, out, r); err != nil {
			var p *problem.Problem
			if !errors.As(err, &p) {
				p = problem.New(http.StatusInternalServerError, "the flush failed")
			}
			// A client that went away needs no answer.
			_ = p.Write(out)
		}
	})
}

func flush(w *ingest.Writer, out http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		out.Header().Set("Allow", http.MethodPost)
		return problem.New(http.StatusMethodNotAllowed, "flush with POST")
	}
	timeout, err := flushParameters(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	receipt, err := w.Flush(ctx)
	var down *ingest.UnavailableError
	switch {
	case errors.As(err, &down):
		return problem.Unavailable(time.Second, err, "the database does not answer")
	case err != nil:
		p := problem.New(http.StatusGatewayTimeout, "%d of %d events are still being stored", receipt.Pending, receipt.Events)
		return write(out, p.Status, problem.ContentType, flushPending{p, receipt.Barrier, receipt.Events, receipt.Pending})
	}
	return write(out, http.StatusOK, "application/json", flushReceipt{receipt.Barrier, receipt.Events, receipt.Token})
}

type flushReceipt struct {
	Barrier          uint64 `json:"barrier"`
	Events           int    `json:"events"`
	ConsistencyToken string `json:"consistency_token"`
}

type flushPending struct { //nolint:errname // a document that holds one
	*problem.Problem

	Barrier uint64 `json:"barrier"`
	Events  int    `json:"events"`
	Pending int    `json:"pending"`
}

func write(out http.ResponseWriter, status int, contentType string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	out.Header().Set("Content-Type", contentType)
	out.Header().Set("Cache-Control", "no-store")
	out.WriteHeader(status)
	// A client that went away needs no answer.
	_, _ = out.Write(text)
	return nil
}

// flushParameters takes correlation_id, which narrows nothing here, and timeout.
func flushParameters(r *http.Request) (time.Duration, error) {
	timeout := flushTimeout
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, problem.Validation(nil, "the query is not readable: %v", err)
	}
	for name, values := range parameters {
		switch {
		case len(values) != 1 || values[0] == "":
			return 0, problem.Validation(map[string]string{name: "must have one value"}, "parameter %s must have one value", name)
		case name == "correlation_id":
		case name == "timeout":
			if timeout, err = time.ParseDuration(values[0]); err != nil || timeout <= 0 || timeout > maxFlushTimeout {
				return 0, problem.Validation(map[string]string{name: "must be a duration like 10s"}, "timeout must be a duration like 10s, of at most %s", maxFlushTimeout)
			}
		default:
			return 0, problem.Validation(map[string]string{name: "is not a known parameter"}, "unknown parameter %s: use correlation_id or timeout", name)
		}
	}
	return timeout, nil
}
