// Package telemetrytest receives traces in tests.
package telemetrytest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kubernaut.ai/internal/telemetry"
)

const (
	path = "/v1/traces"
	// capacity is how many spans a Receiver keeps for the test; those beyond are dropped.
	capacity = 10_000
)

// Test is the part of testing.TB and of Ginkgo's that a Receiver needs.
type Test interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(stop func())
}

// Receiver takes traces as an OpenTelemetry collector does.
type Receiver struct {
	url string

	// Away makes it refuse them.
	Away atomic.Bool
	// Spans has each that arrived, in order.
	Spans chan *tracev1.Span
}

// NewReceiver serves until the test ends.
func NewReceiver(t Test) *Receiver {
	t.Helper()
	r := &Receiver{Spans: make(chan *tracev1.Span, capacity)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if r.Away.Load() {
			w.WriteHeader(http.StatusForbidden) // a status after which nobody tries again
			return
		}
		body, err := io.ReadAll(request.Body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil || request.URL.Path != path {
			t.Errorf("%s: %v", request.URL, err)
		}
		r.keep(&sent)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// Flags send all traces here.
func (r *Receiver) Flags() telemetry.Flags { return telemetry.Flags{Endpoint: r.url + path, Ratio: 1} }

func (r *Receiver) keep(sent *collector.ExportTraceServiceRequest) {
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				select {
				case r.Spans <- span:
				default:
				}
			}
		}
	}
}
