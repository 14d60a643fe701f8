package app

import (
	"context"
	"errors"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

// flusher answers as an audit store does, once every request that was taken
// before the call is answered. DataStorage owes no other events.
type flusher struct{ writer *ingest.Writer }

// Flush implements flushhttp.Flusher.
func (f flusher) Flush(ctx context.Context) (audit.Receipt, error) {
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

// FlushFor implements flushhttp.Flusher. Requests are few and short: telling them
// apart by correlation id would gain nothing.
func (f flusher) FlushFor(ctx context.Context, _ string) (audit.Receipt, error) {
	return f.Flush(ctx)
}
