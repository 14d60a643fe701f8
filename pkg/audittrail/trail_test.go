package audittrail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
)

// serve answers with handler and returns the URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func receipt(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/audit/flush" || r.URL.Query().Get("correlation_id") != "rr-1" {
			http.Error(w, "unexpected "+r.Method+" "+r.URL.String(), http.StatusTeapot)
			return
		}
		_, _ = fmt.Fprintf(w, `{"barrier": 7, "events": 2, "consistency_token": %q}`, token)
	}
}

func TestReadFlushesEveryServiceThenQueriesAtTheirTokens(t *testing.T) {
	var mu sync.Mutex
	var queries []url.Values
	storage := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		queries = append(queries, r.URL.Query())
		pagination := map[string]any{"has_more": len(queries) == 1, "next_cursor": "page-2"}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"data": []any{map[string]any{"event_type": fmt.Sprintf("test.page.%d", len(queries))}}, "pagination": pagination,
		})
	})
	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: storage,
		ManagementURLs: []string{serve(t, receipt("a")), serve(t, receipt("b")), serve(t, receipt("a")), serve(t, receipt(""))},
	})
	if err != nil {
		t.Fatal(err)
	}
	events, err := reader.Read(t.Context(), "rr-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].EventType != "test.page.1" || events[1].EventType != "test.page.2" {
		t.Errorf("events %+v, want those of both pages", events)
	}
	first := url.Values{"correlation_id": {"rr-1"}, "order": {"asc"}, "limit": {"1000"}, "at_least": {"a", "b"}}
	second := url.Values{"correlation_id": {"rr-1"}, "order": {"asc"}, "limit": {"1000"}, "at_least": {"a", "b"}, "cursor": {"page-2"}}
	if !reflect.DeepEqual(queries, []url.Values{first, second}) {
		t.Errorf("queries %v, want %v and %v", queries, first, second)
	}
}

func TestReadDoesNotQueryWhenAFlushProvesNothing(t *testing.T) {
	storage := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("queried although a flush had failed") })
	owing := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGatewayTimeout)
		_, _ = w.Write([]byte(`{"status": 504, "detail": "3 events are still pending", "events": 4, "pending": 3}`))
	})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: storage, ManagementURLs: []string{serve(t, receipt("a")), owing, gone.URL}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = reader.Read(t.Context(), "rr-1")
	for _, want := range []string{"rr-1", owing, "3 of 4 events are still pending", gone.URL} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
}

// flushed is a Flusher.
type flushed struct {
	receipts []audit.Receipt
	err      error
}

func (f flushed) Flush(_ context.Context, correlationID string) ([]audit.Receipt, error) {
	if correlationID != "rr-1" {
		return nil, fmt.Errorf("asked for %q", correlationID)
	}
	return f.receipts, f.err
}

func TestReadFlushesWhatHasNoURL(t *testing.T) {
	var tokens []string
	storage := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tokens = r.URL.Query()["at_least"]
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data": [], "pagination": {"has_more": false}}`)
	})
	options := audittrail.Options{
		DataStorageURL: storage, ManagementURLs: []string{serve(t, receipt("a"))},
		Flushers: []audittrail.Flusher{
			flushed{receipts: []audit.Receipt{{ConsistencyToken: "b"}, {ConsistencyToken: "a"}}},
			flushed{receipts: []audit.Receipt{{ConsistencyToken: "c"}}},
		},
	}
	reader, err := audittrail.NewReader(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(t.Context(), "rr-1"); err != nil || !slices.Equal(tokens, []string{"a", "b", "c"}) {
		t.Errorf("queried at %q, error %v", tokens, err)
	}

	tokens = nil
	owing := errors.New("pod gateway-0 owes an event")
	options.Flushers[0] = flushed{err: owing}
	if reader, err = audittrail.NewReader(options); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(t.Context(), "rr-1"); !errors.Is(err, owing) || tokens != nil {
		t.Errorf("queried at %q, error %v", tokens, err)
	}
}

func TestReadReportsARefusedQuery(t *testing.T) {
	storage := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"detail": "the standby has not replayed that far"}`))
	})
	reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: storage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = reader.Read(t.Context(), "rr-1"); err == nil || !strings.Contains(err.Error(), "not replayed") {
		t.Errorf("error %v", err)
	}
	if _, err = audittrail.NewReader(audittrail.Options{}); err == nil {
		t.Error("a reader without DataStorage was made")
	}
}

func TestReadDoesNotStartAgainWhenAPageLacksItsCursor(t *testing.T) {
	queries := 0
	storage := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		queries++
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"data": [], "pagination": {"has_more": %t}}`, queries == 1)
	})
	reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: storage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = reader.Read(t.Context(), "rr-1"); err == nil || !strings.Contains(err.Error(), "next_cursor") {
		t.Errorf("error %v", err)
	}
}
