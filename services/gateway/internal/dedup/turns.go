package dedup

import (
	"context"
	"fmt"
	"sync"
)

// turns lets one attempt of this replica at a time work on the register of a
// fingerprint. The others wait, and then usually find what it has opened. They
// wait for nothing that another replica does.
type turns struct {
	mu      sync.Mutex
	running map[string]chan struct{} // guarded by mu: by fingerprint, closed when the turn ends
}

func newTurns() *turns { return &turns{running: map[string]chan struct{}{}} }

// take takes a turn, and returns the function that ends it. If another attempt
// has one, it waits for the end of that turn and returns false.
func (t *turns) take(ctx context.Context, fingerprint string) (end func(), taken bool, err error) {
	t.mu.Lock()
	ended, running := t.running[fingerprint]
	if !running {
		t.running[fingerprint] = make(chan struct{})
		t.mu.Unlock()
		return func() { t.end(fingerprint) }, true, nil
	}
	t.mu.Unlock()
	select {
	case <-ended:
		return nil, false, nil
	case <-ctx.Done():
		return nil, false, fmt.Errorf("wait for another signal of the same problem: %w", ctx.Err())
	}
}

func (t *turns) end(fingerprint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.running[fingerprint])
	delete(t.running, fingerprint)
}
