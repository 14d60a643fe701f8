package main

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/pkg/audit"
)

// pendingEvents are as many as a store may owe by default.
const pendingEvents = audit.DefaultMaxEvents

// stalledSink accepts batches and answers none until it is let go.
type stalledSink struct {
	discard

	letGo chan struct{}
}

// Write implements audit.Sink.
func (s *stalledSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	select {
	case <-s.letGo:
		return s.discard.Write(ctx, batch)
	case <-ctx.Done():
		return audit.Ack{}, fmt.Errorf("stalled sink: %w", ctx.Err())
	}
}

// measurePending counts what the events take that a sink leaves with the store,
// the batches on their way included. Each has texts of its own.
func measurePending(ctx context.Context, _ plan, report *ratio.Report) error {
	sink := stalledSink{letGo: make(chan struct{})}
	return with(ctx, &sink, func(store *audit.Store) error {
		idle := liveHeap()
		err := owe(ctx, store)
		pending := liveHeap() - idle
		close(sink.letGo)
		if err != nil {
			return err
		}
		if err := flush(ctx, store); err != nil {
			return err
		}
		if stored := sink.events.Load(); stored != pendingEvents {
			return fmt.Errorf("%d of %d pending events were stored", stored, pendingEvents)
		}
		report.Figuref("%d pending events: %.0f bytes each; %.1f MiB stay with the empty store", pendingEvents, pending/pendingEvents, (liveHeap()-idle)/(1<<20))
		report.AtMost("pending-heap-mib", pending/(1<<20), 64)
		return nil
	}, audit.WithWriteTimeout(time.Minute))
}

func owe(ctx context.Context, store *audit.Store) error {
	for i := range pendingEvents {
		if err := store.Record(ctx, newEvent(correlationID(i))); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return nil
}
