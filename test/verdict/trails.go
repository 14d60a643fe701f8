package verdict

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/test/testenv"
)

// readers bounds the trails that are read concurrently.
const readers = 4

// ReadTrails flushes everything once, and then queries each correlation id once,
// with the consistency tokens of the flush.
func ReadTrails(ctx context.Context, flusher audittrail.Flusher, o audittrail.Options, correlationIDs []string) (map[string]testenv.Trail, error) {
	receipts, err := flusher.Flush(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("flush: %w", err)
	}
	o.Flushers = []audittrail.Flusher{flushed(receipts)}
	reader, err := audittrail.NewReader(o)
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	var mu sync.Mutex
	trails := make(map[string]testenv.Trail, len(correlationIDs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, id := range correlationIDs {
		group.Go(func() error {
			events, err := reader.Read(ctx, id)
			if err != nil {
				return fmt.Errorf("read trail: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			trails[id] = events
			return nil
		})
	}
	return trails, group.Wait()
}

// flushed are the receipts of a flush that has completed.
type flushed []audit.Receipt

// Flush implements audittrail.Flusher.
func (f flushed) Flush(context.Context, string) ([]audit.Receipt, error) { return f, nil }
