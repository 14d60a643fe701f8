package audittest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/onsi/gomega"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestMemorySinkConforms(t *testing.T) {
	t.Parallel()
	audittest.TestSink(t, func(*testing.T) audittest.Subject {
		return subject(audittest.NewMemorySink(), nil)
	})
}

// The HTTP sink is checked against a server that speaks the batch call over a memory sink.
func TestHTTPSinkConforms(t *testing.T) {
	t.Parallel()
	audittest.TestSink(t, func(t *testing.T) audittest.Subject {
		t.Helper()
		memory := audittest.NewMemorySink()
		server := httptest.NewServer(batchServer(memory))
		t.Cleanup(server.Close)
		sink, err := audit.NewHTTPSink(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sink.CloseIdleConnections)
		return subject(memory, sink)
	})
}

// subject reads from memory what sink, or else memory itself, wrote.
func subject(memory *audittest.MemorySink, sink audit.Sink) audittest.Subject {
	if sink == nil {
		sink = memory
	}
	return audittest.Subject{Sink: sink, Stored: func(_ context.Context, correlationID string) ([]audit.Event, error) {
		return memory.EventsOf(correlationID), nil
	}}
}

// wireEvent has the fields of the wire form that the suite uses.
type wireEvent struct {
	ID            uuid.UUID       `json:"event_id"`
	Version       string          `json:"version"`
	Type          string          `json:"event_type"`
	Timestamp     time.Time       `json:"event_timestamp"`
	Category      string          `json:"event_category"`
	Action        string          `json:"event_action"`
	Outcome       audit.Outcome   `json:"event_outcome"`
	CorrelationID string          `json:"correlation_id"`
	Data          json.RawMessage `json:"event_data"`
}

func batchServer(memory *audittest.MemorySink) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/audit/events/batch", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			http.Error(w, "plain bodies only", http.StatusUnsupportedMediaType)
			return
		}
		var events []wireEvent
		for decoder := json.NewDecoder(r.Body); decoder.More(); {
			var e wireEvent
			if err := decoder.Decode(&e); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			events = append(events, e)
		}
		batch := make([]audit.Event, len(events))
		ids := make([]uuid.UUID, len(events))
		for i, e := range events {
			ids[i] = e.ID
			batch[i] = audit.Event{
				ID: e.ID, Version: e.Version, Type: e.Type, Timestamp: e.Timestamp, Category: e.Category,
				Action: e.Action, Outcome: e.Outcome, CorrelationID: e.CorrelationID, Data: e.Data,
			}
		}
		ack, err := memory.Write(r.Context(), batch)
		var refused *audit.RefusedError
		switch {
		case errors.As(err, &refused):
			items := make([]map[string]any, len(refused.Items))
			for i, item := range refused.Items {
				items[i] = map[string]any{"index": item.Index, "event_id": ids[item.Index], "code": item.Code, "detail": item.Reason}
			}
			writeJSON(w, http.StatusBadRequest, "application/problem+json", map[string]any{"type": "t", "title": "Invalid", "status": 400, "items": items})
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			writeJSON(w, http.StatusCreated, "application/json", map[string]any{
				"event_ids": ids, "created": ack.Created, "duplicates": ack.Duplicates, "message": "stored", "consistency_token": ack.ConsistencyToken,
			})
		}
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func TestHaveAudited(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	e := *audittest.NewEvent("gateway.signal.received", "rr-1")
	e.Severity = "critical"
	e.Data = []byte(`{"target":{"kind":"Pod"},"count":2}`)
	events := []audit.Event{*audittest.NewEvent("gateway.crd.created", "rr-1"), e}

	g.Expect(events).To(audittest.HaveAudited("gateway.signal.received",
		audittest.WithCorrelationID("rr-1"),
		audittest.WithOutcome(audit.OutcomeSuccess),
		audittest.WithOutcome("success"),
		audittest.WithCategory("test"),
		audittest.WithAction(gomega.HavePrefix("te")),
		audittest.WithSeverity("critical"),
		audittest.WithData("target.kind", "Pod"),
		audittest.WithData("count", gomega.BeNumerically(">", 1)),
		audittest.WithData("target.name", nil),
		audittest.With("namespace", func(e *audit.Event) any { return e.Namespace }, ""),
	))
	g.Expect(events).NotTo(audittest.HaveAudited("gateway.signal.rejected"))
	g.Expect([]audit.Event(nil)).NotTo(audittest.HaveAudited("gateway.signal.received"))

	matcher := audittest.HaveAudited("gateway.signal.received", audittest.WithSeverity("low"))
	ok, err := matcher.Match(events)
	if err != nil || ok {
		t.Fatalf("match: %v, %v, want false", ok, err)
	}
	message := matcher.FailureMessage(events)
	for _, want := range []string{"gateway.crd.created", "gateway.signal.received", "severity", "critical", "low"} {
		if !strings.Contains(message, want) {
			t.Errorf("message lacks %q:\n%s", want, message)
		}
	}
	if _, err := matcher.Match("no events"); err == nil {
		t.Error("a string is no list of events")
	}
}
