package audit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestF12_EachBatchWriteHasASpan(t *testing.T) {
	t.Parallel()
	tracer := &spans{}
	hooks := audittest.NewHooks()
	store, sink, clock := audittest.NewStore(t, audit.WithTracer(tracer), audit.WithHook(hooks.Reached))
	sink.FailNext(&audit.SinkError{Status: 503, Detail: "words of a peer"})
	record(t, store, audittest.NewEvent("test.span.event", "a"))
	record(t, store, audittest.NewEvent("test.span.event", "a"))
	clock.Step(audit.DefaultInterval)
	if err := hooks.Await(t.Context(), audit.HookBackingOff, 1); err != nil {
		t.Fatal(err)
	}
	flush(t, store)

	want := []string{
		"audit.write client audit.batch.events=2 Error: the sink responds with 503 Service Unavailable",
		"audit.write client audit.batch.events=2 audit.batch.duplicates=0 Unset:",
	}
	if got := tracer.ended(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("spans:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// spans is a tracer that keeps the spans that ended, as text.
type spans struct {
	embedded.Tracer

	mu   sync.Mutex
	done []string
}

func (s *spans) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	return ctx, &span{tracer: s, text: name + " " + config.SpanKind().String(), attributes: config.Attributes()}
}

func (s *spans) ended() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

type span struct {
	noop.Span

	tracer      *spans
	text        string
	attributes  []attribute.KeyValue
	code        codes.Code
	description string
}

func (*span) IsRecording() bool { return true }

func (s *span) SetAttributes(attributes ...attribute.KeyValue) {
	s.attributes = append(s.attributes, attributes...)
}

func (s *span) SetStatus(code codes.Code, description string) {
	s.code, s.description = code, description
}

func (s *span) End(...trace.SpanEndOption) {
	text := s.text
	for _, a := range s.attributes {
		text += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
	}
	s.tracer.mu.Lock()
	defer s.tracer.mu.Unlock()
	s.tracer.done = append(s.tracer.done, strings.TrimSpace(fmt.Sprintf("%s %s: %s", text, s.code, s.description)))
}
