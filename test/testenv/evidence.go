package testenv

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Evidence is what the present spec has touched: its correlation ids, and the
// trails that it read. The zero value is ready for use, by one spec at a time
// and its goroutines.
type Evidence struct {
	mu      sync.Mutex
	tracked []string         // guarded by mu
	read    map[string]Trail // what the spec read of them last, guarded by mu
}

// Forget begins a new spec: what the last one tracked is its own affair.
func (e *Evidence) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracked, e.read = nil, nil
}

// CorrelationID returns a random correlation id, and with it the name of a
// request, and tracks it for a diagnosis.
func (e *Evidence) CorrelationID() string {
	id := "rr-" + random()
	e.Track(id)
	return id
}

// Track remembers a correlation id, for instance one that the Gateway made, so
// that a failed spec prints its trail.
func (e *Evidence) Track(correlationID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.tracked, correlationID) {
		e.tracked = append(e.tracked, correlationID)
	}
}

// Read tracks a correlation id, reads its trail and remembers what was read.
func (e *Evidence) Read(ctx context.Context, correlationID string, read func(context.Context, string) (Trail, error)) (Trail, error) {
	e.Track(correlationID)
	trail, err := read(ctx, correlationID)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.read == nil {
		e.read = map[string]Trail{}
	}
	e.read[correlationID] = trail
	return trail, nil
}

// Tracked are the correlation ids of the present spec.
func (e *Evidence) Tracked() []string {
	tracked, _ := e.known()
	return tracked
}

// known is what was tracked and read so far.
func (e *Evidence) known() (tracked []string, read map[string]Trail) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.tracked), maps.Clone(e.read)
}
