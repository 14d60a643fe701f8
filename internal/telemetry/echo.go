package telemetry

import (
	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/contrib/instrumentation/github.com/labstack/echo/otelecho"
	"go.opentelemetry.io/otel/trace"
)

// Server makes a span of each request that an echo server takes, which joins the trace of the client; nil if there
// are no traces.
func (t *Tracing) Server(name string) echo.MiddlewareFunc {
	if !t.On() {
		return nil
	}
	return otelecho.Middleware(name, otelecho.WithTracerProvider(t.provider), otelecho.WithPropagators(t.Propagator()))
}

// Statements makes the spans of what goes to the database beside pgx; nil if there are no traces.
func (t *Tracing) Statements() trace.Tracer {
	if !t.On() {
		return nil
	}
	return t.Tracer("statements")
}

// Queries makes a span of each statement; nil if there are no traces. Statements have placeholders, and their values
// are left out.
func (t *Tracing) Queries() pgx.QueryTracer {
	if !t.On() {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider), otelpgx.WithDisableConnectionDetailsInAttributes())
}
