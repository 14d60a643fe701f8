package app

import (
	"context"
	"errors"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

// flusher answers as an audit store does, once every request that was taken
// before the call is answered, and every access that was noted is stored.
type flusher struct {
	writer   *ingest.Writer
	accesses *accesslog.Log
	store    *audit.Store
}

// Flush implements flushhttp.Flusher.
func (f flusher) Flush(ctx context.Context) (audit.Receipt, error) {
	if err := f.accesses.Flush(ctx); err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // says what was not recorded
	}
	if receipt, err := f.store.Flush(ctx); err != nil {
		return receipt, err //nolint:wrapcheck // the handler knows the types
	}
	return f.answered(ctx)
}

// FlushFor implements flushhttp.Flusher. Requests are few and short: telling them
// apart by correlation id would gain nothing. Accesses have correlation ids that no
// request's events have, so other trails are complete without them.
func (f flusher) FlushFor(ctx context.Context, correlationID string) (audit.Receipt, error) {
	if accesslog.Owns(correlationID) {
		return f.Flush(ctx)
	}
	return f.answered(ctx)
}

// answered waits for the requests that bring events.
func (f flusher) answered(ctx context.Context) (audit.Receipt, error) {
	flushed, err := f.writer.Flush(ctx)
	receipt := audit.Receipt{Barrier: flushed.Barrier, Events: flushed.Events, ConsistencyToken: flushed.Token}
	if err == nil {
		return receipt, nil
	}
	if down, ok := errors.AsType[*ingest.UnavailableError](err); ok {
		return receipt, &audit.SinkError{Err: down}
	}
	return receipt, &audit.FlushError{
		Events: flushed.Events, Stored: flushed.Events - flushed.Pending, Pending: flushed.Pending, Cause: err,
	}
}
