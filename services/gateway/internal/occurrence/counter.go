// Package occurrence counts the signals that fold into a request, in its
// status, without a write for each of them.
package occurrence

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// interval is the shortest time between two writes to one request.
	interval = time.Second
	// writeTimeout bounds a write, so that one that hangs does not hold up the others.
	writeTimeout = 5 * time.Second
	// DefaultCapacity is how many requests are counted at a time.
	DefaultCapacity = 10_000
)

// Request identifies the request that is counted.
type Request struct {
	types.NamespacedName

	UID types.UID
}

// Writer adds occurrences to a request's status. It must be safe for
// concurrent use. A request that is gone is no error: nothing is left to be counted on.
type Writer interface {
	Add(ctx context.Context, r Request, duplicates int64, lastSeen time.Time) error
}

// Counter gathers occurrences and writes them, for each request the first at
// once and then at most once a second. Add is safe for concurrent use; Run
// does the writing.
type Counter struct {
	writer   Writer
	clock    clock.WithTicker
	log      *zap.Logger
	capacity int
	wake     chan struct{} // holds one token when an entry became due earlier than Run knows

	mu      sync.Mutex
	tallies map[types.UID]*tally // guarded by mu
}

// tally is what is known of one request; guarded by the counter's mu.
type tally struct {
	request    Request
	owed       bool
	duplicates int64
	lastSeen   time.Time
	// due is when the request may be written next.
	due time.Time
}

// NewCounter makes a counter for at most capacity requests at a time.
func NewCounter(w Writer, c clock.WithTicker, log *zap.Logger, capacity int) *Counter {
	return &Counter{
		writer:   w,
		clock:    c,
		log:      log,
		capacity: capacity,
		wake:     make(chan struct{}, 1),
		tallies:  map[types.UID]*tally{},
	}
}

// Add counts a signal: duplicates is 0 for a request's first signal and 1 for
// each later one. It returns at once, unless the counter is full: then it
// writes before it returns, and the error says that this failed.
func (c *Counter) Add(ctx context.Context, r Request, duplicates int64, seen time.Time) error {
	if c.gather(r, duplicates, seen) {
		return nil
	}
	if err := c.writer.Add(ctx, r, duplicates, seen); err != nil {
		return fmt.Errorf("count signal of %s: %w", r.Name, err)
	}
	return nil
}

// Pending returns how many requests wait for a write.
func (c *Counter) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := 0
	for _, t := range c.tallies {
		if t.owed {
			pending++
		}
	}
	return pending
}

// Run writes until ctx ends. Then it writes what is owed, within what grace
// gives at that moment, and returns an error if some of it could not be written.
func (c *Counter) Run(ctx context.Context, grace func() time.Duration) error {
	for ctx.Err() == nil {
		due, wait := c.take(c.clock.Now())
		for _, t := range due {
			if err := c.write(ctx, t); err != nil {
				c.log.Debug("occurrences not written, will try again", zap.String("request", t.request.Name), zap.Error(err))
			}
		}
		if len(due) > 0 {
			continue
		}
		c.sleep(ctx, wait)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace())
	defer cancel()
	return c.drain(ctx)
}

// gather keeps an occurrence for Run, and reports whether there was room.
func (c *Counter) gather(r Request, duplicates int64, seen time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tallies[r.UID]
	if !ok {
		if len(c.tallies) >= c.capacity {
			return false
		}
		t = &tally{request: r, due: c.clock.Now()}
		c.tallies[r.UID] = t
	}
	t.add(duplicates, seen)
	if !ok {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return true
}

func (t *tally) add(duplicates int64, seen time.Time) {
	t.owed = true
	t.duplicates += duplicates
	if seen.After(t.lastSeen) {
		t.lastSeen = seen
	}
}

// sleep waits until something may be due; with a wait of zero only an Add wakes it.
func (c *Counter) sleep(ctx context.Context, wait time.Duration) {
	var expired <-chan time.Time
	if wait > 0 {
		timer := c.clock.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C()
	}
	select {
	case <-c.wake:
	case <-expired:
	case <-ctx.Done():
	}
}

// take returns the tallies to be written now, and else how long until one of
// the others may be; it forgets those that have been quiet for an interval.
func (c *Counter) take(now time.Time) ([]tally, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []tally
	var wait time.Duration
	for uid, t := range c.tallies {
		switch rest := t.due.Sub(now); {
		case rest > 0:
			if wait == 0 || rest < wait {
				wait = rest
			}
		case t.owed:
			due = append(due, *t)
			t.owed, t.duplicates, t.due = false, 0, now.Add(interval)
		default:
			delete(c.tallies, uid)
		}
	}
	return due, wait
}

// write writes a tally; if that fails, it is owed again.
func (c *Counter) write(ctx context.Context, t tally) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := c.writer.Add(ctx, t.request, t.duplicates, t.lastSeen)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	back, ok := c.tallies[t.request.UID]
	if !ok {
		back = &tally{request: t.request, due: c.clock.Now().Add(interval)}
		c.tallies[t.request.UID] = back
	}
	back.add(t.duplicates, t.lastSeen)
	return fmt.Errorf("write occurrences of %s: %w", t.request.Name, err)
}

// drain writes everything that is owed, whenever it may be due.
func (c *Counter) drain(ctx context.Context) error {
	due, _ := c.take(c.clock.Now().Add(interval))
	var errs []error
	for _, t := range due {
		if err := c.write(ctx, t); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("occurrences of %d requests are not in their status (the audit trail has them): %w", len(errs), errs[0])
	}
	return nil
}
