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

// Hooks remembers which points of their work one store or several reached, so
// that a test can wait for them instead of sleeping:
//
//	hooks := audittest.NewHooks()
//	store, err := audit.New(sink, audit.WithHook(hooks.Reached))
//
// All methods are safe for concurrent use.
type Hooks struct {
	mu   sync.Mutex // guards what follows
	seen map[audit.HookPoint]sightings
	// changed rings at every point.
	changed bell
}

// sightings counts how often a point was reached, and the events it concerned.
type sightings struct{ times, events int }

// NewHooks returns an empty memory.
func NewHooks() *Hooks { return &Hooks{seen: make(map[audit.HookPoint]sightings)} }

// Reached is the audit.Hook to pass to audit.WithHook.
func (h *Hooks) Reached(point audit.HookPoint, events int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.seen[point]
	h.seen[point] = sightings{times: s.times + 1, events: s.events + events}
	h.changed.ring()
}

// Count returns how often a point was reached.
func (h *Hooks) Count(point audit.HookPoint) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[point].times
}

// Events returns how many events a point concerned, all times together.
func (h *Hooks) Events(point audit.HookPoint) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[point].events
}

// Await waits until a point was reached n times in all; it returns at once if it
// was already. The error wraps that of ctx, and lists what was reached.
func (h *Hooks) Await(ctx context.Context, point audit.HookPoint, n int) error {
	err := awaitCount(ctx, n, func() (int, <-chan struct{}) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.seen[point].times, h.changed.next()
	})
	if err != nil {
		return fmt.Errorf("await hook point %q (seen: %v): %w", point, h, err)
	}
	return nil
}

// Next returns a function that waits until a point is reached once more. Call
// Next before what leads there, and the function after it, so that the point
// cannot be missed in between.
func (h *Hooks) Next(point audit.HookPoint) func(ctx context.Context) error {
	n := h.Count(point) + 1
	return func(ctx context.Context) error { return h.Await(ctx, point, n) }
}

// String lists the points that were reached and how often.
func (h *Hooks) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	parts := make([]string, 0, len(h.seen))
	for _, point := range slices.Sorted(maps.Keys(h.seen)) {
		parts = append(parts, fmt.Sprintf("%v %d", point, h.seen[point].times))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
