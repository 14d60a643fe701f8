//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/testenv/cluster"
)

const (
	storeEvents = "/api/v1/audit/events"
	storeBatch  = storeEvents + "/batch"
)

// anEvent is a valid event; change makes it another one.
func anEvent(correlationID string, change func(*datastorage.AuditEvent)) datastorage.AuditEvent {
	GinkgoHelper()
	id, err := uuid.NewV7()
	Expect(err).NotTo(HaveOccurred())
	e := datastorage.AuditEvent{
		EventId: &id, Version: "1.0", EventType: signalReceived, EventTimestamp: time.Now().UTC(), EventCategory: "gateway",
		EventAction: "received", EventOutcome: datastorage.Success, CorrelationId: correlationID,
		EventData: json.RawMessage(`{"signal":"KubePodCrashLooping"}`),
	}
	if change != nil {
		change(&e)
	}
	return e
}

// storage is DataStorage as a client with a token meets it.
type storage struct {
	url   string
	token cluster.Token
}

// reader and writer reach it through its Service.
func reader() storage { return storage{env.DataStorageURL, env.Tokens.Reader} }
func writer() storage { return storage{env.DataStorageURL, env.Tokens.Writer} }

// said is an answer of DataStorage.
type said struct {
	code   int
	header http.Header
	body   []byte
}

func (s storage) call(ctx context.Context, method, path string, header http.Header, body []byte) said {
	GinkgoHelper()
	answer, err := s.try(ctx, method, path, header, body)
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// try is for goroutines that must not fail the spec themselves.
func (s storage) try(ctx context.Context, method, path string, header http.Header, body []byte) (said, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return said{}, err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	if err := s.token.Authorize(ctx, request); err != nil {
		return said{}, err
	}
	response, err := env.HTTP.Do(request)
	if err != nil {
		return said{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return said{code: response.StatusCode, header: response.Header, body: text}, err
}

// find queries once; parameters come in pairs of name and value.
func (s storage) find(ctx context.Context, parameters ...string) said {
	GinkgoHelper()
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	return s.call(ctx, http.MethodGet, storeEvents+"?"+query.Encode(), nil, nil)
}

func (s storage) store(ctx context.Context, events ...datastorage.AuditEvent) datastorage.BatchCreated {
	GinkgoHelper()
	return decoded[datastorage.BatchCreated](s.call(ctx, http.MethodPost, storeBatch, contentJSON(), encode(events)), http.StatusCreated)
}

func contentJSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func encode(value any) []byte {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// decoded decodes the answer; it fails the spec unless its status is code.
func decoded[T any](a said, code int) T {
	GinkgoHelper()
	Expect(a.code).To(Equal(code), "%s", a.body)
	want := "application/json"
	if code >= http.StatusBadRequest {
		want = "application/problem+json"
	}
	Expect(a.header.Get("Content-Type")).To(Equal(want))
	Expect(a.header.Get("X-Request-ID")).NotTo(BeEmpty())
	var value T
	Expect(json.Unmarshal(a.body, &value)).To(Succeed(), "%s", a.body)
	return value
}

func idsOf(events []datastorage.StoredEvent) []string {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].EventId.String()
	}
	return ids
}

func sentIDs(events ...datastorage.AuditEvent) []string {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = fmt.Sprint(events[i].EventId)
	}
	return ids
}
