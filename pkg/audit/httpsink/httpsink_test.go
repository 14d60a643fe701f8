package httpsink_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
)

// serve runs a server for the test, and a sink that writes to it.
func serve(t *testing.T, handler http.HandlerFunc, options ...httpsink.Option) *httpsink.Sink {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	sink, err := httpsink.New(server.URL+"/base", options...)
	if err != nil {
		t.Fatalf("make sink: %v", err)
	}
	t.Cleanup(sink.CloseIdleConnections)
	return sink
}

// answer gives the same answer to every request.
func answer(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func batchOf(n int) []audit.Event {
	batch := make([]audit.Event, n)
	for i := range batch {
		batch[i] = *audittest.NewEvent("test.http.event", "a")
		batch[i].ID = audit.DerivedID(audittest.Epoch(), fmt.Sprint(i))
		batch[i].Version = audit.SchemaVersion
		batch[i].Timestamp = audittest.Epoch()
	}
	return batch
}

func TestSendsTheWireForm(t *testing.T) {
	t.Parallel()
	took := 1500 * time.Microsecond
	full := audit.Event{
		ID: audit.DerivedID(audittest.Epoch(), "full"), Version: "1.0", Type: "test.http.full",
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC), Category: "test", Action: "sent",
		Outcome: audit.OutcomePending, CorrelationID: "rr-1", Data: json.RawMessage(`{"html":"<&>","n":1.50}`),
		ActorType: "service", ActorID: "gateway", ActorIP: "::1", ResourceType: "Pod", ResourceID: "web-0",
		Namespace: "shop", ClusterID: "east", Severity: "critical", Duration: &took, ErrorCode: "E1", ErrorMessage: "broken",
		ParentID: audit.DerivedID(audittest.Epoch(), "parent"), RetentionDays: 30, Sensitive: true,
		Producer: audit.Producer{ID: "p", Epoch: 12, Sequence: 34},
	}
	const want = `{"actor_id":"gateway","actor_ip":"::1","actor_type":"service","cluster_id":"east","correlation_id":"rr-1",` +
		`"duration_ms":1.5,"error_code":"E1","error_message":"broken","event_action":"sent","event_category":"test",` +
		`"event_data":{"html":"<&>","n":1.50},"event_id":"%s","event_outcome":"pending",` +
		`"event_timestamp":"2026-01-02T03:04:05.678901Z","event_type":"test.http.full","is_sensitive":true,"namespace":"shop",` +
		`"parent_event_id":"%s","producer_epoch":12,"producer_id":"p","producer_seq":34,"resource_id":"web-0",` +
		`"resource_type":"Pod","retention_days":30,"severity":"critical","version":"1.0"}`
	zero := time.Duration(0)
	least := batchOf(1)[0]
	least.Duration = &zero

	sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		events := strings.Split(string(body), "\n")
		if len(events) != 3 || events[2] != "" {
			t.Errorf("body %q, want 2 lines", body)
			return
		}
		if want := fmt.Sprintf(want, full.ID, full.ParentID); events[0] != want {
			t.Errorf("event:\n%s\nwant:\n%s", events[0], want)
		}
		for _, absent := range []string{"actor_", "parent_", "producer_", "retention_", "sensitive", "error_"} {
			if strings.Contains(events[1], absent) {
				t.Errorf("event %s has %s", events[1], absent)
			}
		}
		if !strings.Contains(events[1], `"duration_ms":0`) {
			t.Errorf("event %s: a duration of zero is a value", events[1])
		}
		for header, want := range map[string]string{
			"Content-Type": "application/x-ndjson", "Content-Encoding": "", "Authorization": "Bearer secret", "User-Agent": "tester",
			"Idempotency-Key": "",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		if r.Method != http.MethodPost || r.URL.Path != "/base/api/v1/audit/events/batch" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		writeCreated(t, w, []audit.Event{full, least}, 1)
	}, httpsink.WithUserAgent("tester"), httpsink.WithTokenSource(func(context.Context) (string, error) { return "secret", nil }))

	ack, err := sink.Write(t.Context(), []audit.Event{full, least})
	if want := (audit.Ack{ConsistencyToken: "token", Created: 1, Duplicates: 1}); err != nil || ack != want {
		t.Errorf("write: %+v, %v, want %+v", ack, err, want)
	}
}

// writeCreated answers 201 for a batch.
func writeCreated(t *testing.T, w http.ResponseWriter, batch []audit.Event, duplicates int) {
	t.Helper()
	ids := make([]uuid.UUID, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	if err := json.NewEncoder(w).Encode(map[string]any{
		"event_ids": ids, "created": len(batch) - duplicates, "duplicates": duplicates, "message": "stored", "consistency_token": "token",
	}); err != nil {
		t.Errorf("write answer: %v", err)
	}
}

// idsIn reads the ids of a request's events.
func idsIn(t *testing.T, r *http.Request) []audit.Event {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("read body: %v", err)
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		body = gunzip(t, body)
	case "zstd":
		body = unzstd(t, body)
	default:
		t.Errorf("content encoding %q", encoding)
	}
	var batch []audit.Event
	for line := range bytes.Lines(body) {
		var e struct {
			ID uuid.UUID `json:"event_id"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Errorf("decode %q: %v", line, err)
		}
		batch = append(batch, audit.Event{ID: e.ID})
	}
	return batch
}

func gunzip(t *testing.T, body []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Errorf("gunzip: %v", err)
		return nil
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Errorf("gunzip: %v", err)
	}
	return plain
}

func unzstd(t *testing.T, body []byte) []byte {
	t.Helper()
	reader, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(8<<20)) // RFC 9659
	if err != nil {
		t.Errorf("unzstd: %v", err)
		return nil
	}
	defer reader.Close()
	plain, err := reader.DecodeAll(body, nil)
	if err != nil {
		t.Errorf("unzstd: %v", err)
	}
	return plain
}

// A 413 that names no event, and a 403 that does, are about the batch and not about the sink.
func TestTellsWhatStallsEvents(t *testing.T) {
	t.Parallel()
	batch := batchOf(2)
	for name, answer := range map[string]http.HandlerFunc{
		"of DataStorage": answer(413, "application/problem+json", `{"title":"Large"}`),
		"of a proxy":     answer(413, "text/html", "<html>"),
	} {
		if _, err := serve(t, answer).Write(t.Context(), batch); !errors.Is(err, audit.ErrTooLarge) || errors.Is(err, audit.ErrRefused) {
			t.Errorf("413 %s: %v, want one that is too large and not refused", name, err)
		}
	}
	_, err := serve(t, answer(403, "application/problem+json", fmt.Sprintf(
		`{"title":"Forbidden","items":[{"index":1,"event_id":%q,"code":"forbidden","detail":"needs a permission"}]}`, batch[1].ID))).Write(t.Context(), batch)
	var forbidden *audit.ForbiddenError
	if !errors.As(err, &forbidden) || len(forbidden.Items) != 1 || forbidden.Items[0] != (audit.Refusal{Index: 1, Code: "forbidden", Reason: "needs a permission"}) {
		t.Errorf("403 with an index: %v", err)
	}
}

func TestTellsRefusalsFromFailures(t *testing.T) {
	t.Parallel()
	batch := batchOf(2)
	const problem = "application/problem+json"
	item := func(index int, id uuid.UUID) string {
		return fmt.Sprintf(`{"type":"t","title":"Invalid","status":400,"items":[{"index":%d,"event_id":%q,"code":"invalid",`+
			`"detail":"event is invalid","field_errors":{"severity":"too long"}}]}`, index, id)
	}
	named := []audit.Refusal{{Index: 1, Code: "invalid", Reason: "event is invalid: severity too long"}}
	tests := map[string]struct {
		answer http.HandlerFunc
		// named refusals, or an unnamed one, or else a failure that may pass
		named      []audit.Refusal
		unnamed    bool
		status     int
		retryAfter time.Duration
	}{
		"400 with an index":            {answer: answer(400, problem, item(1, batch[1].ID)), named: named},
		"409 with an index":            {answer: answer(409, problem, item(1, batch[1].ID)), named: named},
		"413 with an index":            {answer: answer(413, problem, item(1, batch[1].ID)), named: named},
		"422 with an index":            {answer: answer(422, problem, item(1, batch[1].ID)), named: named},
		"400 with an index too high":   {answer: answer(400, problem, item(2, batch[1].ID)), unnamed: true},
		"400 with another event's id":  {answer: answer(400, problem, item(0, batch[1].ID)), unnamed: true},
		"400 without an index":         {answer: answer(400, problem, `{"title":"Bad","detail":"no"}`), unnamed: true},
		"400 with a charset":           {answer: answer(400, problem+"; charset=utf-8", item(1, batch[1].ID)), named: named},
		"400 of a TLS port":            {answer: answer(400, "text/plain; charset=utf-8", "Client sent an HTTP request to an HTTPS server."), status: 400},
		"400 of another JSON service":  {answer: answer(400, "application/json", item(1, batch[1].ID)), status: 400},
		"400 of no type":               {answer: answer(400, "", item(1, batch[1].ID)), status: 400},
		"409 of a proxy":               {answer: answer(409, "text/html", "<html>"), status: 409},
		"413 without an index":         {answer: answer(413, problem, `{"title":"Large"}`), status: 413},
		"413 of a proxy":               {answer: answer(413, "text/html", "<html>"), status: 413},
		"413 of a proxy with a pause":  {answer: answer(413, "text/html", "<html>", "Retry-After", "7"), status: 413, retryAfter: 7 * time.Second},
		"422 of a proxy":               {answer: answer(422, "text/html", "<html>"), status: 422},
		"401":                          {answer: answer(401, problem, `{"title":"Who are you"}`), status: 401},
		"403":                          {answer: answer(403, problem, `{}`), status: 403},
		"403 with an index too high":   {answer: answer(403, problem, item(2, batch[1].ID)), status: 403},
		"403 of a proxy":               {answer: answer(403, "text/html", item(1, batch[1].ID)), status: 403},
		"404":                          {answer: answer(404, "text/plain", "404 page not found"), status: 404},
		"415":                          {answer: answer(415, problem, `{}`), status: 415},
		"429 with seconds":             {answer: answer(429, problem, `{}`, "Retry-After", "7"), status: 429, retryAfter: 7 * time.Second},
		"500":                          {answer: answer(500, "text/plain", "oops"), status: 500},
		"503 with an absurd pause":     {answer: answer(503, problem, `{}`, "Retry-After", "99999999999"), status: 503, retryAfter: 5 * time.Minute},
		"503 with a negative pause":    {answer: answer(503, problem, `{}`, "Retry-After", "-1"), status: 503},
		"503 with a date":              {answer: answer(503, problem, `{}`, "Date", "Fri, 02 Jan 2026 03:04:05 GMT", "Retry-After", "Fri, 02 Jan 2026 03:04:35 GMT"), status: 503, retryAfter: 30 * time.Second},
		"a redirect":                   {answer: answer(307, "text/plain", "", "Location", "http://127.0.0.1:1/"), status: 307},
		"200":                          {answer: answer(200, "application/json", `{"event_ids":[]}`), status: 200},
		"201 that is not readable":     {answer: answer(201, "text/html", "<html>"), status: 201},
		"201 that names too few":       {answer: answer(201, "application/json", fmt.Sprintf(`{"event_ids":[%q]}`, batch[0].ID)), status: 201},
		"201 that names others":        {answer: answer(201, "application/json", fmt.Sprintf(`{"event_ids":[%q,%q]}`, batch[1].ID, batch[0].ID)), status: 201},
		"201 that is endless":          {answer: answer(201, "application/json", strings.Repeat(" ", 9<<20)), status: 201},
		"400 that is endless":          {answer: answer(400, problem, strings.Repeat(" ", 9<<20)), unnamed: true},
		"400 that breaks off":          {answer: answer(400, problem, `{"title":`, "Content-Length", "100"), status: 400},
		"a connection that breaks off": {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := serve(t, test.answer)
			_, err := sink.Write(t.Context(), batch)
			var refused *audit.RefusedError
			var failed *audit.SinkError
			switch {
			case test.named != nil:
				if !errors.As(err, &refused) || len(refused.Items) != 1 || refused.Items[0] != test.named[0] {
					t.Errorf("write: %#v, want refusals %+v", err, test.named)
				}
			case test.unnamed:
				if !errors.Is(err, audit.ErrRefused) || errors.As(err, &refused) {
					t.Errorf("write: %v, want an unnamed refusal", err)
				}
			case !errors.As(err, &failed) || errors.Is(err, audit.ErrRefused):
				t.Errorf("write: %v, want a *SinkError", err)
			case failed.Status != test.status || failed.RetryAfter != test.retryAfter:
				t.Errorf("write: status %d, retry after %v, want %d, %v", failed.Status, failed.RetryAfter, test.status, test.retryAfter)
			}
		})
	}
}

func TestF9_WhatIsNotDataStorageRefusesNothing(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	asked := make(chan struct{})
	plain := answer(http.StatusBadRequest, "text/plain; charset=utf-8", "Client sent an HTTP request to an HTTPS server.")
	sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			close(asked)
			plain(w, r)
			return
		}
		writeCreated(t, w, idsIn(t, r), 0)
	})
	const events = 4
	store := newStore(t, sink, audit.WithBatch(events, 1<<20))
	for range events {
		record(t, store, audittest.NewEvent("test.http.owed", "a"))
	}
	<-asked
	flush(t, store) // begins after the refused attempt, and so ends the pause
	if n := len(quarantined(t, store)); n != 0 || requests.Load() != 2 {
		t.Errorf("%d in quarantine, %d requests, want 0 and 2", n, requests.Load())
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()

	t.Run("a batch over the limit is refused without a request", func(t *testing.T) {
		t.Parallel()
		sink := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("request") }, httpsink.WithLimits(3, 2<<20))
		if _, err := sink.Write(t.Context(), batchOf(4)); !errors.Is(err, audit.ErrRefused) {
			t.Errorf("write of 4 events: %v, want ErrRefused", err)
		}
		big := batchOf(3)
		for i := range big {
			big[i].Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", 1000<<10))
		}
		if _, err := sink.Write(t.Context(), big); !errors.Is(err, audit.ErrRefused) {
			t.Errorf("write of nearly 3 MiB: %v, want ErrRefused", err)
		}
	})

	t.Run("a store keeps within them", func(t *testing.T) {
		t.Parallel()
		var largest atomic.Int64
		sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
			batch := idsIn(t, r)
			largest.Store(max(largest.Load(), int64(len(batch))))
			writeCreated(t, w, batch, 0)
		}, httpsink.WithLimits(10, 2<<20))
		store := newStore(t, sink)
		for range 95 {
			record(t, store, audittest.NewEvent("test.http.limits", "a"))
		}
		flush(t, store)
		if n := largest.Load(); n != 10 {
			t.Errorf("largest batch %d, want 10", n)
		}
	})
}

func TestTokenFailureKeepsEventsPending(t *testing.T) {
	t.Parallel()
	errDown := errors.New("down")
	sink := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("request") },
		httpsink.WithTokenSource(func(context.Context) (string, error) { return "", errDown }))
	_, err := sink.Write(t.Context(), batchOf(1))
	var failed *audit.SinkError
	if !errors.As(err, &failed) || !errors.Is(err, errDown) {
		t.Errorf("write: %v, want a *SinkError that wraps the source's error", err)
	}
}

func TestNewRefusesUnusableOptions(t *testing.T) {
	t.Parallel()
	for _, baseURL := range []string{"", "localhost:8080", "ftp://host", "http://", "http://user:secret@host", "http://host?x=1", "http://host#x", "http://%zz"} {
		_, err := httpsink.New(baseURL)
		if err == nil {
			t.Errorf("URL %q is accepted", baseURL)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v tells the password", err)
		}
	}
	for name, option := range map[string]httpsink.Option{
		"client": httpsink.WithHTTPClient(nil), "token source": httpsink.WithTokenSource(nil), "logger": httpsink.WithLogger(nil), "user agent": httpsink.WithUserAgent(""),
		"no events": httpsink.WithLimits(0, 1<<24), "few bytes": httpsink.WithLimits(1, 1000),
		"TLS": httpsink.WithTLSConfig(nil), "compression": httpsink.WithCompression(httpsink.CompressionZstd + 1),
	} {
		if _, err := httpsink.New("http://127.0.0.1", option); err == nil {
			t.Errorf("option %s is accepted", name)
		}
	}
	if _, err := httpsink.New("https://127.0.0.1", httpsink.WithHTTPClient(http.DefaultClient), httpsink.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12})); err == nil {
		t.Error("a TLS configuration beside a client is accepted")
	}
}
