package otellog_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/embedded"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/otellog"
)

// backend is a provider whose logger remembers what it was given.
type backend struct {
	embedded.LoggerProvider

	disabled bool
	fail     func()

	mu      sync.Mutex
	records []log.Record // guarded by mu
}

func (b *backend) Logger(name string, _ ...log.LoggerOption) log.Logger {
	if name != otellog.ScopeName {
		panic(name)
	}
	return logger{backend: b}
}

// logger is the backend as a log.Logger.
type logger struct {
	embedded.Logger
	*backend
}

func (l logger) Enabled(context.Context, log.EnabledParameters) bool { return !l.disabled }

func (l logger) Emit(_ context.Context, r log.Record) {
	if l.fail != nil {
		l.fail()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

func wrap(t *testing.T, next audit.Sink, b *backend) audit.Sink {
	t.Helper()
	sink, err := otellog.New(next, b)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// handler collects what is reported to OpenTelemetry's error handler.
type handler struct {
	mu   sync.Mutex
	errs []string // guarded by mu
}

// Handle implements otel.ErrorHandler.
func (h *handler) Handle(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err.Error())
}

func (h *handler) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	errs := h.errs
	h.errs = nil
	return errs
}

// handled replaces OpenTelemetry's error handler, which is global.
func handled(t *testing.T) *handler {
	t.Helper()
	before := otel.GetErrorHandler()
	h := &handler{}
	otel.SetErrorHandler(h)
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	return h
}

func TestTheSinkConforms(t *testing.T) {
	for name, b := range map[string]*backend{
		"a backend":                {},
		"one that panics":          {fail: func() { panic("full") }},
		"one that is switched off": {disabled: true},
	} {
		t.Run(name, func(t *testing.T) {
			handled(t)
			audittest.TestSink(t, func(t *testing.T) audittest.Subject {
				t.Helper()
				memory := audittest.NewMemorySink()
				return audittest.Subject{Sink: wrap(t, memory, b), Stored: func(_ context.Context, correlationID string) ([]audit.Event, error) {
					return memory.EventsOf(correlationID), nil
				}}
			})
		})
	}
}

func event() audit.Event {
	e := *audittest.NewEvent("gateway.crd.failed", "rr-1")
	e.ID = uuid.MustParse("01900000-0000-7000-8000-000000000001")
	e.Timestamp = time.Date(2026, 11, 26, 10, 0, 0, 123_000, time.UTC)
	e.Version, e.Severity, e.Outcome = audit.SchemaVersion, "critical", audit.OutcomeFailure
	e.Data = json.RawMessage(`{"n":9007199254740993,"f":0.5,"big":123456789012345678901234567890,"s":["a",true,null],"o":{}}`)
	e.Namespace, e.ClusterID, e.ErrorCode, e.ErrorMessage = "shop", "eu", "Timeout", "too late"
	e.ActorType, e.ActorID, e.ActorIP = "service", "gateway", "10.0.0.1"
	e.ResourceType, e.ResourceID = "Pod", "db-0"
	e.Duration = new(1500 * time.Microsecond)
	e.ParentID = uuid.MustParse("01900000-0000-7000-8000-000000000002")
	e.Producer = audit.Producer{ID: "gateway-0", Epoch: 7, Sequence: 3}
	return e
}

func TestARecordSaysWhatTheEventSays(t *testing.T) {
	var b backend
	e := event()
	if _, err := wrap(t, audittest.NewMemorySink(), &b).Write(t.Context(), []audit.Event{e}); err != nil {
		t.Fatal(err)
	}
	r := b.records[0]
	if r.EventName() != e.Type || !r.Timestamp().Equal(e.Timestamp) || r.Severity() != log.SeverityError2 || r.SeverityText() != "critical" {
		t.Errorf("record %v %v %v %q", r.EventName(), r.Timestamp(), r.Severity(), r.SeverityText())
	}
	body := map[string]attribute.Value{}
	for _, pair := range r.Body().AsMap() {
		body[string(pair.Key)] = pair.Value
	}
	if body["n"].AsInt64() != 9007199254740993 || body["f"].AsFloat64() != 0.5 || body["big"].AsString() != "123456789012345678901234567890" || len(body["s"].AsSlice()) != 3 {
		t.Errorf("body %v", r.Body())
	}
	got := map[string]string{}
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		got[string(a.Key)] = a.Value.String()
		return true
	})
	for key, want := range map[string]string{
		"log.record.uid": e.ID.String(), "k8s.namespace.name": "shop", "k8s.cluster.name": "eu", "client.address": "10.0.0.1",
		"error.type": "Timeout", "audit.error_message": "too late", "audit.correlation_id": "rr-1", "audit.outcome": "failure",
		"audit.actor.type": "service", "audit.actor.id": "gateway", "audit.resource.type": "Pod", "audit.resource.id": "db-0",
		"audit.duration_ms": "1.5", "audit.parent_id": e.ParentID.String(), "audit.producer.id": "gateway-0", "audit.producer.epoch": "7",
		"audit.producer.sequence": "3", "audit.category": e.Category, "audit.action": e.Action,
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("more attributes: %v", got)
	}
}

func TestSensitiveDataIsNotExported(t *testing.T) {
	var b backend
	e := event()
	e.Sensitive = true
	if _, err := wrap(t, audittest.NewMemorySink(), &b).Write(t.Context(), []audit.Event{e}); err != nil {
		t.Fatal(err)
	}
	if got := b.records[0].Body(); got.Type() != attribute.EMPTY {
		t.Errorf("body %v", got)
	}
}

func TestOnlyStoredEventsAreEmitted(t *testing.T) {
	var b backend
	memory := audittest.NewMemorySink()
	memory.Fail(errors.New("connection refused"))
	sink := wrap(t, memory, &b)
	if _, err := sink.Write(t.Context(), []audit.Event{event()}); err == nil || len(b.records) != 0 {
		t.Errorf("error %v, %d records", err, len(b.records))
	}
}

func TestAFailureOfTheBackendIsReportedAndFailsNothing(t *testing.T) {
	errs := handled(t)
	for name, test := range map[string]struct {
		backend *backend
		end     bool
		want    string
	}{
		"panic":             {&backend{fail: func() { panic("full") }}, false, "panic after 0 of 2 records: full"},
		"the context ended": {&backend{}, true, "1 of 2 records not emitted: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.end {
				test.backend.fail = cancel
			}
			second := event()
			second.ID = audit.DerivedID(second.Timestamp, "second")
			ack, err := wrap(t, audittest.NewMemorySink(), test.backend).Write(ctx, []audit.Event{event(), second})
			if err != nil || ack.Created != 2 {
				t.Errorf("%+v, error %v: the events are stored", ack, err)
			}
			if reported := errs.take(); len(reported) != 1 || !strings.Contains(reported[0], test.want) {
				t.Errorf("reported %q, want %q", reported, test.want)
			}
		})
	}
}

// unbounded is a sink without limits, bounded one with.
type (
	unbounded struct{ audit.Sink }
	bounded   struct{ audit.Sink }
)

func (bounded) Limits() audit.Limits { return audit.Limits{Events: 7} }

func TestLimitsAreThoseOfTheSinkThatStores(t *testing.T) {
	if _, ok := wrap(t, unbounded{audittest.NewMemorySink()}, &backend{}).(audit.LimitedSink); ok {
		t.Error("a sink without limits has some")
	}
	limited, ok := wrap(t, bounded{audittest.NewMemorySink()}, &backend{}).(audit.LimitedSink)
	if !ok || limited.Limits().Events != 7 {
		t.Error("the limits are lost")
	}
	for name, made := range map[string]func() (audit.Sink, error){
		"no sink":     func() (audit.Sink, error) { return otellog.New(nil, &backend{}) },
		"no provider": func() (audit.Sink, error) { return otellog.New(audittest.NewMemorySink(), nil) },
	} {
		if _, err := made(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
