package audittrail

import (
	"context"
	"errors"
	"fmt"

	"kubernaut.ai/pkg/audit"
)

// Store is what InProcess flushes, for example an *audit.Store.
type Store interface {
	// Flush proves that everything accepted before the call is stored.
	Flush(ctx context.Context) (audit.Receipt, error)
	// FlushFor does so for the events of one correlation id.
	FlushFor(ctx context.Context, correlationID string) (audit.Receipt, error)
}

// InProcess makes a Flusher of stores of this process, for a program that reads
// the trail of what it records itself. The stores are flushed one after the
// other.
func InProcess(stores ...Store) Flusher { return inProcess(stores) }

type inProcess []Store

// Flush flushes all stores, and returns the receipts of those that succeeded.
func (f inProcess) Flush(ctx context.Context, correlationID string) ([]audit.Receipt, error) {
	receipts := make([]audit.Receipt, 0, len(f))
	var errs []error
	for _, store := range f {
		var receipt audit.Receipt
		var err error
		if correlationID == "" {
			receipt, err = store.Flush(ctx)
		} else {
			receipt, err = store.FlushFor(ctx, correlationID)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("audit store of this process: %w", err))
			continue
		}
		receipts = append(receipts, receipt)
	}
	return receipts, errors.Join(errs...)
}
