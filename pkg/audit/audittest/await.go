package audittest

import (
	"context"
	"fmt"
)

// bell lets goroutines wait for a change of what its owner's lock guards. The
// zero value is ready; both methods are called with that lock.
type bell struct {
	rung chan struct{} // nil while nobody waits
}

// next is closed when the bell rings.
func (b *bell) next() <-chan struct{} {
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// ring wakes everyone who waits.
func (b *bell) ring() {
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// awaitCount waits until a count has reached n. look gives the count and a
// channel that is closed when it has changed.
func awaitCount(ctx context.Context, n int, look func() (int, <-chan struct{})) error {
	for {
		count, changed := look()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d: %w", count, n, ctx.Err())
		}
	}
}
