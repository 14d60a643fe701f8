package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"kubernaut.ai/pkg/audit"
)

// discard acknowledges every batch at once and counts.
type discard struct {
	writes, events atomic.Int64
}

// Write implements audit.Sink.
func (d *discard) Write(_ context.Context, batch []audit.Event) (audit.Ack, error) {
	d.writes.Add(1)
	d.events.Add(int64(len(batch)))
	return audit.Ack{Created: len(batch)}, nil
}

// with opens a store for the time of a measurement.
func with(ctx context.Context, sink audit.Sink, measure func(*audit.Store) error, options ...audit.Option) error {
	store, err := audit.New(sink, options...)
	if err != nil {
		return fmt.Errorf("make store: %w", err)
	}
	err = measure(store)
	if closeErr := store.Close(ctx); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close store: %w", closeErr))
	}
	return err
}

// recordMany records an event n times, and warms the store up by that.
func recordMany(ctx context.Context, store *audit.Store, e *audit.Event, n int) error {
	for range n {
		if err := store.Record(ctx, e); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return nil
}

// flush leaves the receipt out.
func flush(ctx context.Context, store *audit.Store) error {
	if _, err := store.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}
