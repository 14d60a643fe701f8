package audittest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"kubernaut.ai/pkg/audit"
)

// Moments remembers the inner moments of one store or several, so that a test
// can wait for them instead of sleeping:
//
//	moments := audittest.NewMoments()
//	store, err := audit.New(sink, audit.WithObserver(moments.Observe))
//
// All methods are safe for concurrent use.
type Moments struct {
	mu   sync.Mutex // guards what follows
	seen map[audit.Moment]sightings
	// changed rings at every moment.
	changed bell
}

// sightings counts how often a moment was seen, and the events it concerned.
type sightings struct{ times, events int }

// NewMoments makes a memory of moments that is empty.
func NewMoments() *Moments { return &Moments{seen: make(map[audit.Moment]sightings)} }

// Observe is the audit.Observer to pass to audit.WithObserver.
func (m *Moments) Observe(moment audit.Moment, events int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[moment]
	m.seen[moment] = sightings{times: s.times + 1, events: s.events + events}
	m.changed.ring()
}

// Count says how often a moment was seen.
func (m *Moments) Count(moment audit.Moment) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[moment].times
}

// Events says how many events a moment concerned, all the times it was seen together.
func (m *Moments) Events(moment audit.Moment) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[moment].events
}

// Await waits until a moment was seen n times in all. It returns at once when
// it was already. The error wraps that of ctx, and lists what was seen.
func (m *Moments) Await(ctx context.Context, moment audit.Moment, n int) error {
	err := awaitCount(ctx, n, func() (int, <-chan struct{}) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.seen[moment].times, m.changed.next()
	})
	if err != nil {
		return fmt.Errorf("await moment %q (seen: %v): %w", moment, m, err)
	}
	return nil
}

// Next gives a function that waits until a moment was seen once more than by
// now. Call Next before what leads to the moment, and the function after it:
// so the moment cannot be missed in between.
func (m *Moments) Next(moment audit.Moment) func(ctx context.Context) error {
	n := m.Count(moment) + 1
	return func(ctx context.Context) error { return m.Await(ctx, moment, n) }
}

// String lists the moments that were seen and how often.
func (m *Moments) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	parts := make([]string, 0, len(m.seen))
	for _, moment := range slices.Sorted(maps.Keys(m.seen)) {
		parts = append(parts, fmt.Sprintf("%v %d", moment, m.seen[moment].times))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
