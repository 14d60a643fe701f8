package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/propagation"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/internal/telemetry/telemetrytest"
)

// stop sends what there is.
func stop(t *testing.T, tracing *telemetry.Tracing) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracing.Part().Run(ctx, func() time.Duration { return 10 * time.Second }); err != nil {
		t.Fatal(err)
	}
}

func TestARequestJoinsTheTraceOfItsClient(t *testing.T) {
	r := telemetrytest.NewReceiver(t)
	f := r.Flags()
	tracing, err := f.New(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	server := echo.New()
	server.Use(tracing.Server("test"))
	server.GET("/events/:id", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/events/secret-id", http.NoBody)
	ctx, client := tracing.Tracer("client").Start(t.Context(), "write")
	tracing.Propagator().Inject(ctx, propagation.HeaderCarrier(request.Header))
	server.ServeHTTP(httptest.NewRecorder(), request)
	client.End()
	stop(t, tracing)
	first, second := <-r.Spans, <-r.Spans
	if string(first.GetTraceId()) != string(second.GetTraceId()) || string(first.GetParentSpanId()) != string(second.GetSpanId()) || second.GetName() != "write" {
		t.Errorf("spans %v and %v", first, second)
	}
}

func TestTracesAreOffWithoutAnEndpoint(t *testing.T) {
	f := telemetry.Flags{Ratio: 1}
	tracing, err := f.New(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Tracer("test").Start(t.Context(), "nothing")
	if span.IsRecording() || tracing.On() || tracing.Queries() != nil || tracing.Server("test") != nil || len(tracing.Collectors()) > 0 {
		t.Error("there are spans")
	}
	stop(t, tracing)
}

func TestAReceiverThatIsAwayIsSaidOnceAndCounted(t *testing.T) {
	r := telemetrytest.NewReceiver(t)
	r.Away.Store(true)
	core, logs := observer.New(zap.InfoLevel)
	f := r.Flags()
	tracing, err := f.New(t.Context(), "test", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := tracing.Register(registry); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, span := tracing.Tracer("test").Start(t.Context(), "lost")
		span.End()
	}
	stop(t, tracing)
	if said := logs.FilterMessageSnippet("--otlp-endpoint").Len(); said != 1 {
		t.Errorf("said %d times: %v", said, logs.All())
	}
	want := "# HELP kubernaut_trace_spans_total Spans that were sent to the receiver of traces (result sent), or not (result lost).\n" +
		"# TYPE kubernaut_trace_spans_total counter\nkubernaut_trace_spans_total{result=\"lost\"} 3\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "kubernaut_trace_spans_total"); err != nil {
		t.Error(err)
	}
}

func TestUnusableFlagsAreNamed(t *testing.T) {
	for value, want := range map[string]string{
		"127.0.0.1:4318": "--otlp-endpoint", "ftp://here/v1/traces": "want http or https",
	} {
		f := telemetry.Flags{Endpoint: value}
		var flags cli.Flags
		f.Declare(&flags)
		err := flags.Complete()
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
	for want, f := range map[string]telemetry.Flags{
		"--trace-ratio": {Ratio: 1.5}, "OTEL_EXPORTER_OTLP_HEADERS": {Ratio: 1, Endpoint: "http://me:pa55word@here/v1/traces"},
	} {
		if _, err := f.New(t.Context(), "test", zap.NewNop()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
