package telemetry

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// exports sends spans, counts them, and logs when their receiver goes away and when it is back.
type exports struct {
	next  sdktrace.SpanExporter
	log   *zap.Logger
	spans *prometheus.CounterVec
	away  atomic.Bool
}

func newExports(next sdktrace.SpanExporter, log *zap.Logger) *exports {
	return &exports{next: next, log: log, spans: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubernaut_trace_spans_total", Help: "Spans that were sent to the receiver of traces (result sent), or not (result lost).",
	}, []string{"result"})}
}

// ExportSpans implements sdktrace.SpanExporter. An error would go to a handler that is global to the process.
func (e *exports) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.next.ExportSpans(ctx, spans)
	if err != nil {
		e.spans.WithLabelValues("lost").Add(float64(len(spans)))
		if e.away.CompareAndSwap(false, true) {
			e.log.Warn("traces are not sent, and their spans are lost: check --otlp-endpoint and its receiver", zap.Error(err))
		}
		return nil
	}
	e.spans.WithLabelValues("sent").Add(float64(len(spans)))
	if e.away.CompareAndSwap(true, false) {
		e.log.Info("traces are sent again")
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exports) Shutdown(ctx context.Context) error {
	return e.next.Shutdown(ctx) //nolint:wrapcheck // passed on
}
