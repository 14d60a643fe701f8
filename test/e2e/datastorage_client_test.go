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

// anEvent returns a valid event, modified by change.
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

// storage is a client of DataStorage with a token.
type storage struct {
	url   string
	token cluster.Token
}

// reader, writer, holder and eraser use its Service.
func reader() storage { return storage{env.DataStorageURL, env.Tokens.Reader} }
func writer() storage { return storage{env.DataStorageURL, env.Tokens.Writer} }
func holder() storage { return storage{env.DataStorageURL, env.Tokens.Holder} }
func eraser() storage { return storage{env.DataStorageURL, env.Tokens.Eraser} }

// storageAnswer is a response of DataStorage.
type storageAnswer struct {
	code   int
	header http.Header
	body   []byte
}

func (s storage) call(ctx context.Context, method, path string, header http.Header, body []byte) storageAnswer {
	GinkgoHelper()
	answer, err := s.try(ctx, method, path, header, body)
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// try does not fail the spec, and so can be called in goroutines.
func (s storage) try(ctx context.Context, method, path string, header http.Header, body []byte) (storageAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return storageAnswer{}, err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	if err := s.token.Authorize(ctx, request); err != nil {
		return storageAnswer{}, err
	}
	response, err := env.HTTP.Do(request)
	if err != nil {
		return storageAnswer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return storageAnswer{code: response.StatusCode, header: response.Header, body: text}, err
}

// find queries once; parameters come in pairs of name and value.
func (s storage) find(ctx context.Context, parameters ...string) storageAnswer {
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

// decoded decodes the response; it fails the spec unless its status is code.
func decoded[T any](a storageAnswer, code int) T {
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
