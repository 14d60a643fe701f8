package ingest

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// maxLinks bounds the requests that the span of a transaction is linked to.
const maxLinks = 100

// span makes the span of a transaction, whose COPY runs below the tracer of pgx. It is a part of the trace of the oldest
// request that has one, and is linked to the others that share the transaction.
func (w *Writer) span(ctx context.Context, g *group) (context.Context, trace.Span) {
	if w.options.Tracer == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	var parent trace.SpanContext
	var links []trace.Link
	for _, j := range g.jobs {
		switch {
		case !j.span.IsValid():
		case !parent.IsValid():
			parent = j.span
		case len(links) < maxLinks:
			links = append(links, trace.Link{SpanContext: j.span})
		}
	}
	return w.options.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), "ingest.store", //nolint:spancheck // ended by the caller
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("ingest.events", len(g.events)), attribute.Int("ingest.requests", len(g.jobs))))
}
