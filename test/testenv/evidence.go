package testenv

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Evidence is what the current spec has used: its correlation ids, and the trails
// that it read. The zero value is ready for use by one spec and its goroutines.
type Evidence struct {
	mu      sync.Mutex
	tracked []string         // guarded by mu
	read    map[string]Trail // what the spec read last, guarded by mu
}

// Forget clears the evidence before the next spec.
func (e *Evidence) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracked, e.read = nil, nil
}

// CorrelationID returns a random correlation id, which is also a request's name,
// and tracks it for a diagnosis.
func (e *Evidence) CorrelationID() string {
	id := "rr-" + random()
	e.Track(id)
	return id
}

// Track adds a correlation id, for instance one that the Gateway made, so that a
// failed spec prints its trail.
func (e *Evidence) Track(correlationID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.tracked, correlationID) {
		e.tracked = append(e.tracked, correlationID)
	}
}

// Read tracks a correlation id, reads its trail and stores it in the evidence.
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

// Tracked are the correlation ids of the current spec.
func (e *Evidence) Tracked() []string {
	tracked, _ := e.snapshot()
	return tracked
}

// snapshot is what was tracked and read so far.
func (e *Evidence) snapshot() (tracked []string, read map[string]Trail) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.tracked), maps.Clone(e.read)
}
