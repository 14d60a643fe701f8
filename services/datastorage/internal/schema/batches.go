package schema

import (
	"context"
	"fmt"
	"sync"
)

// batchBlock is the increment of the sequence audit_batch_ids.
const batchBlock = 1024

// BatchIDs numbers the batches of a process. It reserves a block of ids with one
// query, so that most batches get theirs without a round trip; a process that ends
// leaves a gap. It is safe for concurrent use.
type BatchIDs struct {
	mu   sync.Mutex
	next int64 // guarded by mu, like left
	left int
}

// Next returns an id that no other batch has.
func (b *BatchIDs) Next(ctx context.Context, db Querier) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		// It need not wait for the disk or a standby: the commit of a batch, whose record
		// follows in the log, does.
		const reserve = `SELECT nextval('audit_batch_ids') FROM set_config('synchronous_commit', 'off', true)`
		if err := db.QueryRow(ctx, reserve).Scan(&b.next); err != nil {
			return 0, fmt.Errorf("reserve batch ids: %w", err)
		}
		b.left = batchBlock
	}
	id := b.next
	b.next++
	b.left--
	return id, nil
}
