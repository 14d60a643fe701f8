package audittest_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/wire"
)

func TestMemorySinkConforms(t *testing.T) {
	t.Parallel()
	audittest.TestSink(t, func(*testing.T) audittest.Subject {
		return subject(audittest.NewMemorySink(), nil)
	})
}

// A fault that a sink must bear beneath it changes nothing that can be seen.
func TestRepeatedRequestsConform(t *testing.T) {
	t.Parallel()
	audittest.TestSink(t, func(*testing.T) audittest.Subject {
		memory := audittest.NewMemorySink()
		memory.Duplicate(audittest.FirstAnswer)
		return subject(memory, nil)
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
		sink, err := httpsink.New(server.URL)
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

func batchServer(memory *audittest.MemorySink) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/audit/events/batch", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			http.Error(w, "plain bodies only", http.StatusUnsupportedMediaType)
			return
		}
		var events []wire.AuditEvent
		for decoder := json.NewDecoder(r.Body); decoder.More(); {
			var e wire.AuditEvent
			if err := decoder.Decode(&e); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			events = append(events, e)
		}
		batch := make([]audit.Event, len(events))
		ids := make([]uuid.UUID, len(events))
		for i, e := range events {
			batch[i] = fromWire(&e)
			ids[i] = batch[i].ID
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

// fromWire reads an event as DataStorage does.
func fromWire(w *wire.AuditEvent) audit.Event {
	e := audit.Event{
		ID: valueOf(w.EventID), Version: w.Version, Type: w.EventType, Timestamp: w.EventTimestamp,
		Category: w.EventCategory, Action: w.EventAction, Outcome: audit.Outcome(w.EventOutcome),
		CorrelationID: w.CorrelationID, Data: w.EventData,
		ActorType: valueOf(w.ActorType), ActorID: valueOf(w.ActorID), ActorIP: valueOf(w.ActorIP),
		ResourceType: valueOf(w.ResourceType), ResourceID: valueOf(w.ResourceID),
		Namespace: valueOf(w.Namespace), ClusterID: valueOf(w.ClusterID),
		Severity: valueOf(w.Severity), ErrorCode: valueOf(w.ErrorCode), ErrorMessage: valueOf(w.ErrorMessage),
		ParentID: valueOf(w.ParentEventID), RetentionDays: valueOf(w.RetentionDays), Sensitive: valueOf(w.IsSensitive),
		Producer: audit.Producer{
			ID: valueOf(w.ProducerID), Epoch: valueOf(w.ProducerEpoch), Sequence: uint64(valueOf(w.ProducerSeq)),
		},
	}
	if w.DurationMs != nil {
		d := time.Duration(math.Round(*w.DurationMs*1000)) * time.Microsecond
		e.Duration = &d
	}
	return e
}

// valueOf is zero where the wire form left a value out.
func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(http.ErrAbortHandler)
	}
}
