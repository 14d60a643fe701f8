package query

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/database"
)

const (
	// busyRate is how many events a second are stored where searches take turns.
	busyRate = 1000
	// sampleEvery is how often the rate is measured at most.
	sampleEvery = 100 * time.Millisecond
	// turnShare is the part of a step that one turn has.
	turnShare = 2
	// turnPatience is how long a search waits for its turn: that of a hundred others.
	turnPatience = 15 * time.Second
)

// turns keep searches from taking the cores that store events: while many are
// stored, one search runs after the other, and the database rests after each for
// as long as it took. So twenty clients that search cost ingest as much as one.
// Other queries read little, and do not wait.
type turns struct {
	clock clock.WithTicker
	// stored counts events since the start.
	stored func() uint64
	// next holds the time from which the next search may run.
	next chan time.Time

	mu      sync.Mutex
	sampled time.Time // guarded by mu
	count   uint64    // guarded by mu: stored at that time
	busy    bool      // guarded by mu
}

func newTurns(c clock.WithTicker, stored func() uint64) *turns {
	t := &turns{clock: c, stored: stored, next: make(chan time.Time, 1), sampled: c.Now(), count: stored()}
	t.next <- t.sampled
	return t
}

// isBusy reports whether many events are being stored.
func (t *turns) isBusy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if passed := now.Sub(t.sampled); passed >= sampleEvery {
		count := t.stored()
		t.busy = float64(count-t.count) >= busyRate*passed.Seconds()
		t.sampled, t.count = now, count
	}
	return t.busy
}

// sharedKey is in the context of a search that has a turn beside others.
type sharedKey struct{}

func isShared(ctx context.Context) bool { return ctx.Value(sharedKey{}) != nil }

// Turn waits until a query may run, and returns the context that Find takes; the
// caller calls end when the query has ended. It comes before all that others need,
// like memory and connections. The error says that the query waited too long.
func (q *Finder) Turn(ctx context.Context, p Params) (searching context.Context, end func(), err error) {
	// What is not usable searches nothing.
	if len(p.filter(&ParamError{}).clauses) == 0 && p.DetailKey == nil || p.CorrelationID != "" {
		return ctx, func() {}, nil
	}
	return q.turns.take(ctx)
}

// take waits for a turn.
func (t *turns) take(ctx context.Context) (searching context.Context, end func(), err error) {
	if !t.isBusy() {
		return ctx, func() {}, nil
	}
	late := t.clock.NewTimer(turnPatience)
	defer late.Stop()
	var from time.Time
	select {
	case from = <-t.next:
	case <-late.C():
		return nil, nil, &UnavailableError{Err: database.ErrBusy}
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("wait for other searches: %w", context.Cause(ctx))
	}
	rest := t.clock.NewTimer(from.Sub(t.clock.Now()))
	defer rest.Stop()
	select {
	case <-rest.C():
	case <-ctx.Done():
		t.next <- from
		return nil, nil, fmt.Errorf("wait for other searches: %w", context.Cause(ctx))
	}
	began := t.clock.Now()
	return context.WithValue(ctx, sharedKey{}, true), func() {
		now := t.clock.Now()
		t.next <- now.Add(now.Sub(began))
	}, nil
}
