//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

const (
	storeEvents = "/api/v1/audit/events"
	storeBatch  = storeEvents + "/batch"
)

// fields is an event as a client writes it.
type fields map[string]any

// anEvent is a valid event with an id; changes overwrite fields, nil removes one.
func anEvent(correlationID string, changes fields) fields {
	e := fields{
		"event_id": newEventID().String(), "version": "1.0", "event_type": "gateway.test.received",
		"event_timestamp": time.Now().UTC().Format(time.RFC3339Nano), "event_category": "gateway", "event_action": "received",
		"event_outcome": "success", "correlation_id": correlationID, "event_data": fields{"signal": "KubePodCrashLooping"},
	}
	for name, value := range changes {
		e[name] = value
		if value == nil {
			delete(e, name)
		}
	}
	return e
}

func newEventID() uuid.UUID {
	GinkgoHelper()
	id, err := uuid.NewV7()
	Expect(err).NotTo(HaveOccurred())
	return id
}

func someEvents(correlationID string, n int) []fields {
	events := make([]fields, n)
	for i := range events {
		events[i] = anEvent(correlationID, fields{"event_data": fields{"n": i}})
	}
	return events
}

func encode(value any) []byte {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// storeAnswer is any response of DataStorage.
type storeAnswer struct {
	code   int
	header http.Header
	body   []byte
}

// decoded decodes the response; it fails the spec unless its status is code.
func decoded[T any](a storeAnswer, code int) T {
	GinkgoHelper()
	Expect(a.code).To(Equal(code), "%s", a.body)
	Expect(a.header.Get("X-Request-ID")).NotTo(BeEmpty())
	want := "application/json"
	if code >= http.StatusBadRequest {
		want = "application/problem+json"
	}
	Expect(a.header.Get("Content-Type")).To(Equal(want))
	var value T
	Expect(json.Unmarshal(a.body, &value)).To(Succeed(), "%s", a.body)
	return value
}

func storeCall(ctx context.Context, base, method, path string, header http.Header, body []byte) storeAnswer {
	GinkgoHelper()
	answer, err := tryStoreCall(ctx, base, method, path, header, body)
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// tryStoreCall does not fail the spec, and so can be called in goroutines.
func tryStoreCall(ctx context.Context, base, method, path string, header http.Header, body []byte) (storeAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return storeAnswer{}, err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return storeAnswer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return storeAnswer{code: response.StatusCode, header: response.Header, body: text}, err
}

// storeJSON posts a value as JSON; header lines come in pairs of name and value.
func storeJSON(ctx context.Context, base, path string, value any, header ...string) storeAnswer {
	GinkgoHelper()
	return storeCall(ctx, base, http.MethodPost, path, headerOf(header...), encode(value))
}

func headerOf(lines ...string) http.Header {
	h := alertmanager.JSON()
	for i := 0; i+1 < len(lines); i += 2 {
		h.Set(lines[i], lines[i+1])
	}
	return h
}

// storeFind queries once; parameters come in pairs of name and value.
func storeFind(ctx context.Context, base string, parameters ...string) storeAnswer {
	GinkgoHelper()
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	return storeCall(ctx, base, http.MethodGet, storeEvents+"?"+query.Encode(), nil, nil)
}

// findAll returns the events of a query on all pages.
func findAll(ctx context.Context, base string, parameters ...string) []datastorage.StoredEvent {
	GinkgoHelper()
	var events []datastorage.StoredEvent
	for page, more := []string(nil), true; more; {
		answer := decoded[datastorage.EventPage](storeFind(ctx, base, slices.Concat(parameters, page)...), http.StatusOK)
		events = append(events, answer.Data...)
		if more = answer.Pagination.HasMore; more {
			page = []string{"cursor", *answer.Pagination.NextCursor}
		}
	}
	return events
}

// storedOf returns the events of a correlation id, at most 1000, oldest first.
func storedOf(ctx context.Context, base, correlationID string) []datastorage.StoredEvent {
	GinkgoHelper()
	answer := storeFind(ctx, base, "correlation_id", correlationID, "limit", "1000", "order", "asc")
	return decoded[datastorage.EventPage](answer, http.StatusOK).Data
}

func idsOf(events []datastorage.StoredEvent) []string {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].EventId.String()
	}
	return ids
}

func wireIDs(events ...fields) []string {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i], _ = e["event_id"].(string)
	}
	return ids
}

// ownStore starts a separate DataStorage with its own database, for a spec that
// breaks it or needs other options.
func ownStore(ctx context.Context, change func(*datastorageapp.Options)) *testenv.DataStorage {
	GinkgoHelper()
	store, err := env.NewDataStorage(ctx, func(o *datastorageapp.Options) {
		o.MaxConnections = 10
		if change != nil {
			change(o)
		}
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(store.Stop(ctx)).To(Succeed()) })
	return store
}

// connect opens a connection to a database for the statements of a spec.
func connect(ctx context.Context, databaseURL string) *pgx.Conn {
	GinkgoHelper()
	conn, err := pgx.Connect(ctx, databaseURL)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(conn.Close(ctx)).To(Succeed()) })
	return conn
}

func execute(ctx context.Context, conn *pgx.Conn, statement string) {
	GinkgoHelper()
	_, err := conn.Exec(ctx, statement)
	Expect(err).NotTo(HaveOccurred(), statement)
}
