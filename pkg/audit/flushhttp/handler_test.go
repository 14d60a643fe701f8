package flushhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/flushhttp"
)

func TestHandler(t *testing.T) {
	t.Parallel()
	const path = "/audit/flush"

	call := func(t *testing.T, store *audit.Store, method, target string) (*httptest.ResponseRecorder, map[string]any) {
		t.Helper()
		w := httptest.NewRecorder()
		flushhttp.Handler(store).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody))
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("body %s: %v", w.Body, err)
		}
		return w, body
	}

	t.Run("200 with the receipt", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		record(t, store, audittest.NewEvent("test.handler.event", "a"))
		w, _ := call(t, store, http.MethodPost, path)
		if want := `{"barrier":1,"events":1,"consistency_token":"memory-1"}`; w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%d %s, want 200 %s", w.Code, w.Body, want)
		}
		if len(sink.Events()) != 1 {
			t.Error("not stored")
		}
	})

	t.Run("504 with what is stalled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Reject(func(audit.Event) error { return fmt.Errorf("%w: quotes data", audit.ErrForbidden) })
			record(t, store, audittest.NewEvent("test.handler.event", "a"))
			w, body := call(t, store, http.MethodPost, path+"?timeout=10s")
			detail, _ := body["detail"].(string)
			stalled, _ := body["stalled"].(map[string]any)
			if w.Code != http.StatusGatewayTimeout || body["pending"] != 1.0 || stalled["forbidden"] != 1.0 ||
				!strings.Contains(detail, "the sink does not take 1 of them") || strings.Contains(detail, "has not responded") {
				t.Errorf("%d %s, want 504 with 1 stalled", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "quotes data") {
				t.Errorf("%s has the sink's words", w.Body)
			}
			if _, err := flushhttp.ParseResponse(w.Code, w.Body.Bytes()); asFlushError(t, err).StalledUnnamed != 1 {
				t.Errorf("parsed as %v", err)
			}
			sink.Reject(nil)
			if _, err := store.Flush(t.Context()); err != nil {
				t.Errorf("flush: %v", err)
			}
		})
	})

	t.Run("504 with what is still pending", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Fail(&audit.SinkError{Status: 503, Detail: "quotes data"})
			record(t, store, audittest.NewEvent("test.handler.event", "a"))
			w, body := call(t, store, http.MethodPost, path+"?timeout=10s")
			detail, _ := body["detail"].(string)
			if w.Code != http.StatusGatewayTimeout || body["pending"] != 1.0 || !strings.Contains(detail, "the sink responds with 503 Service Unavailable") {
				t.Errorf("%d %s, want 504 with 1 pending and why", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "quotes data") {
				t.Errorf("%s has the sink's words", w.Body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			sink.Recover()
		})
	})

	t.Run("409 with counts, without ids, reasons and data", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Reject(func(e audit.Event) error { return errors.New("quotes " + string(e.Data)) })
		bad := audittest.NewEvent("test.handler.event", "theirs")
		bad.ID = audit.DerivedID(audittest.Epoch(), t.Name())
		record(t, store, bad)
		w, body := call(t, store, http.MethodPost, path)
		if w.Code != http.StatusConflict || body["rejected"] != 1.0 {
			t.Errorf("%d %s, want 409 with 1 rejected", w.Code, w.Body)
		}
		for _, secret := range []string{"quotes", bad.ID.String(), "theirs", bad.Type} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s has %q", w.Body, secret)
			}
		}
		if w, _ := call(t, store, http.MethodPost, path+"?correlation_id=ours"); w.Code != http.StatusOK {
			t.Errorf("%d %s, want 200 for another correlation id", w.Code, w.Body)
		}
		for _, q := range quarantined(t, store) {
			acknowledge(t, store, q.ID)
		}
	})

	t.Run("the request's context bounds it", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		sink.Hang()
		record(t, store, audittest.NewEvent("test.handler.event", "a"))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		flushhttp.Handler(store).ServeHTTP(w, httptest.NewRequestWithContext(ended, http.MethodPost, path, http.NoBody))
		if w.Code != http.StatusGatewayTimeout {
			t.Errorf("%d %s, want 504", w.Code, w.Body)
		}
		sink.Recover()
	})

	t.Run("405 and 400", func(t *testing.T) {
		t.Parallel()
		store, _, _ := audittest.NewStore(t)
		w, _ := call(t, store, http.MethodGet, path)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("GET: %d, Allow %q, want 405 and POST", w.Code, w.Header().Get("Allow"))
		}
		for _, query := range []string{"timeout=soon", "timeout=-1s", "timeout=6m", "correlation_id=", "correlation_id=a&correlation_id=b", "corelation_id=a", "correlation_id=%zz", "correlation_id=a;b"} {
			w, body := call(t, store, http.MethodPost, path+"?"+query)
			if detail, _ := body["detail"].(string); w.Code != http.StatusBadRequest || !strings.Contains(detail, query[:strings.IndexByte(query, '=')]) {
				t.Errorf("%s: %d %s, want 400 that names the parameter", query, w.Code, w.Body)
			}
		}
	})
}
