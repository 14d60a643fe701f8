// Package telemetry gives a service OpenTelemetry traces. They are off unless an operator names where to send them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
)

// share is the percentage of the grace period that is reserved for the last spans.
const share = 3

// Flags say where traces go.
type Flags struct {
	// Endpoint is the URL of an OTLP receiver over HTTP, as in http://127.0.0.1:4318/v1/traces; empty means no traces.
	Endpoint string
	// Ratio of the traces that are sent, above 0 and at most 1. What joins a trace that somebody else began
	// follows the decision of whoever began it.
	Ratio float32
}

// Declare declares --otlp-endpoint and --trace-ratio.
func (f *Flags) Declare(flags *cli.Flags) {
	flags.String(&f.Endpoint, "otlp-endpoint", "",
		"URL of an OpenTelemetry receiver (OTLP over HTTP) for traces, as in http://127.0.0.1:4318/v1/traces; none: no traces", cli.Check(checkEndpoint))
	flags.Float32(&f.Ratio, "trace-ratio", 1, "share of the traces that are sent, at most 1; a trace that a caller began follows the caller")
}

func checkEndpoint(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return errors.New("want a URL, as in http://127.0.0.1:4318/v1/traces")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want http or https")
	}
	return nil
}

// Tracing makes and sends spans. Its methods are safe for concurrent use.
type Tracing struct {
	provider trace.TracerProvider
	stop     func(context.Context) error // nil if there are no traces
	exports  *exports
}

// Off makes no spans.
func Off() *Tracing { return &Tracing{provider: noop.NewTracerProvider()} }

// New makes the tracing that the flags describe, of a service with this name. It does not use the network: a receiver
// that is away costs its spans, and nothing else. An unusable flag is a *cli.UsageError.
func (f *Flags) New(ctx context.Context, service string, log *zap.Logger) (*Tracing, error) {
	if f.Ratio > 1 {
		return nil, cli.Usagef("--trace-ratio %v: want at most 1", f.Ratio)
	}
	if f.Endpoint == "" {
		return Off(), nil
	}
	if u, err := url.Parse(f.Endpoint); err != nil || u.User != nil {
		return nil, cli.Usagef("--otlp-endpoint: want a URL without credentials: give them as OTEL_EXPORTER_OTLP_HEADERS")
	}
	sender, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(f.Endpoint))
	if err != nil {
		return nil, cli.Usagef("--otlp-endpoint %s: %w", f.Endpoint, err)
	}
	t := &Tracing{exports: newExports(sender, log)}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(t.exports), // bounded: it drops spans beyond 2,048
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(f.Ratio)))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", service), attribute.String("service.version", buildinfo.Get().Version),
		)),
	)
	t.provider, t.stop = provider, provider.Shutdown
	return t, nil
}

// On reports whether spans are made.
func (t *Tracing) On() bool { return t.stop != nil }

// Provider makes tracers.
func (t *Tracing) Provider() trace.TracerProvider { return t.provider }

// Tracer makes the spans of a package.
func (t *Tracing) Tracer(name string) trace.Tracer { return t.provider.Tracer("kubernaut.ai/" + name) }

// Propagator carries a trace from a client to a server, in the headers of W3C Trace Context.
func (t *Tracing) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// Collectors are the metrics of what was sent; none if there are no traces.
func (t *Tracing) Collectors() []prometheus.Collector {
	if t.exports == nil {
		return nil
	}
	return []prometheus.Collector{t.exports.spans}
}

// Part sends the last spans when it is stopped. That they cannot be sent is no failure of the service.
func (t *Tracing) Part() lifecycle.Part {
	return lifecycle.Part{Name: "traces", Share: share, Run: lifecycle.OnStop(func(ctx context.Context) error {
		if t.stop != nil {
			_ = t.stop(ctx) // logged and counted
		}
		return nil
	})}
}

// Register registers the collectors.
func (t *Tracing) Register(registerer prometheus.Registerer) error {
	for _, c := range t.Collectors() {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("register metrics of traces: %w", err)
		}
	}
	return nil
}
