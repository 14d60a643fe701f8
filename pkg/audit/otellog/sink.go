package otellog

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"kubernaut.ai/pkg/audit"
)

// ScopeName is the instrumentation scope of the records.
const ScopeName = "kubernaut.ai/pkg/audit/otellog"

// Sink is an audit.Sink that stores events in another one and emits those that are
// stored. It is safe for concurrent use.
type Sink struct {
	next   audit.Sink
	logger log.Logger
}

// limited is a Sink whose next one takes batches up to a size only.
type limited struct {
	*Sink

	next audit.LimitedSink
}

// Limits implements audit.LimitedSink.
func (l limited) Limits() audit.Limits { return l.next.Limits() }

// New makes a sink that writes to next and emits to a logger of the provider. The
// provider should export in batches (as the SDK's BatchProcessor does): Write
// returns after each record was handed over.
func New(next audit.Sink, provider log.LoggerProvider) (audit.Sink, error) {
	if next == nil || provider == nil {
		return nil, errors.New("otellog: a sink and a logger provider are required")
	}
	s := &Sink{next: next, logger: provider.Logger(ScopeName, log.WithSchemaURL(semconv.SchemaURL))}
	if bounded, ok := next.(audit.LimitedSink); ok {
		return limited{s, bounded}, nil
	}
	return s, nil
}

// Write stores a batch and then emits its events. Its results are those of the
// sink that stores. If ctx ends while the events are emitted, the rest is not,
// which is reported to OpenTelemetry's error handler.
func (s *Sink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	ack, err := s.next.Write(ctx, batch)
	if err == nil {
		s.emit(ctx, batch)
	}
	return ack, err //nolint:wrapcheck // the store decides by the error's type
}

// emit never fails: the events are stored, whatever becomes of their records.
func (s *Sink) emit(ctx context.Context, batch []audit.Event) {
	emitted := 0
	defer func() {
		if p := recover(); p != nil {
			otel.Handle(fmt.Errorf("otellog: panic after %d of %d records: %v", emitted, len(batch), p))
		}
	}()
	for i := range batch {
		if err := ctx.Err(); err != nil {
			otel.Handle(fmt.Errorf("otellog: %d of %d records not emitted: %w", len(batch)-emitted, len(batch), err))
			return
		}
		e := &batch[i]
		enabled := log.EnabledParameters{Severity: severity(e), EventName: e.Type}
		if s.logger.Enabled(ctx, enabled) {
			s.logger.Emit(ctx, record(e))
		}
		emitted++
	}
}
