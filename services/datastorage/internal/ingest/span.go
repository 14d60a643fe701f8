package ingest

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxLinks bounds the requests that the span of a transaction is linked to.
const maxLinks = 100

// span makes the span of a transaction, whose COPY runs below the tracer of pgx. It is a part of the trace of the oldest
// request that has one, and is linked to the others that share the transaction. ended ends it.
func (w *Writer) span(ctx context.Context, g *group) (within context.Context, ended func(error)) {
	if w.options.Tracer == nil {
		return ctx, func(error) {}
	}
	var links []trace.Link
	parent := false
	for _, j := range g.jobs {
		switch {
		case !j.span.IsValid():
		case !parent:
			ctx, parent = trace.ContextWithRemoteSpanContext(ctx, j.span), true
		case len(links) < maxLinks:
			links = append(links, trace.Link{SpanContext: j.span})
		}
	}
	ctx, span := w.options.Tracer.Start(ctx, "ingest.store", trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("ingest.events", len(g.events)), attribute.Int("ingest.requests", len(g.jobs))))
	return ctx, func(err error) {
		if err != nil {
			// The text may have values; PostgreSQL's code has none.
			span.SetStatus(codes.Error, code(err))
		}
		span.End()
	}
}
