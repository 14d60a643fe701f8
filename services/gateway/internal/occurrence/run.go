package occurrence

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
)

// Run writes until ctx ends. Then it finishes the writes in progress and writes
// what is pending, for as long as grace returns at that time. The error says
// how many requests could not be written.
func (c *Counter) Run(ctx context.Context, grace func() time.Duration) error {
	// A write that is canceled may have been applied; repeating it would count twice.
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var writes sync.WaitGroup
	for ctx.Err() == nil {
		due, wait := c.due(c.Clock.Now())
		for _, uid := range due {
			if err := c.writes.Acquire(ctx, 1); err != nil {
				break // stopping: drain writes the others
			}
			w, ok := c.begin(uid)
			if !ok {
				c.writes.Release(1)
				continue
			}
			writes.Go(func() {
				defer c.writes.Release(1)
				_ = c.write(writing, w) // it is pending again, counted and logged
			})
		}
		if len(due) == 0 {
			c.sleep(ctx, wait)
		}
	}
	ending, stop := context.WithTimeout(writing, grace())
	defer stop()
	defer context.AfterFunc(ending, cancel)()
	writes.Wait()
	return c.drain(ending)
}

func (c *Counter) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// sleep waits until a request may be due; if wait is zero, until an Add or the end of a write.
func (c *Counter) sleep(ctx context.Context, wait time.Duration) {
	var expired <-chan time.Time
	if wait > 0 {
		timer := c.Clock.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C()
	}
	select {
	case <-c.wake:
	case <-expired:
	case <-ctx.Done():
	}
}

// due returns the requests to write at a time, and otherwise how long until the
// next one may be due. It drops requests without signals for an interval.
func (c *Counter) due(now time.Time) ([]types.UID, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []types.UID
	var wait time.Duration
	for uid, t := range c.tallies {
		switch rest := t.due.Sub(now); {
		case t.writing:
			// Its end wakes Run.
		case t.urgent():
			due = append(due, uid)
		case rest > 0:
			if wait == 0 || rest < wait {
				wait = rest
			}
		case t.pending != nil:
			due = append(due, uid)
		default:
			delete(c.tallies, uid)
		}
	}
	return due, wait
}

// write writes a batch that begin returned. If it fails, the duplicates are pending again.
func (c *Counter) write(ctx context.Context, w work) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := c.put(ctx, w)
	c.end(w, err)
	for _, change := range w.Changes {
		change.done <- err
		if err == nil {
			c.changes.WithLabelValues(change.kind()).Inc()
		}
	}
	return err
}

// begin takes the pending batch of a request; false if there is none.
func (c *Counter) begin(uid types.UID) (work, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tallies[uid]
	if !ok || t.writing || t.pending == nil {
		return work{}, false
	}
	w := work{t.pending, t.request}
	t.pending, t.writing, t.due = nil, true, c.Clock.Now().Add(interval)
	return w, true
}

// end notes the result of a write. It logs when writes begin to fail, and when
// all of them succeed again.
func (c *Counter) end(w work, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeUp()
	t := c.tallies[w.request.UID] // is not dropped during a write
	t.writing = false
	switch {
	case err != nil:
		c.failed.Inc()
		t.restore(w.Batch)
		t.due = c.Clock.Now().Add(interval)
		if t.failing {
			return
		}
		t.failing = true
		if c.failing++; c.failing == 1 {
			c.Log.Warn("what signals say cannot be written to requests; trying again every second",
				zap.String("request", t.request.String()), zap.Error(err))
		}
	case t.failing:
		t.failing = false
		if c.failing--; c.failing == 0 {
			c.Log.Info("what signals say is written to requests again")
		}
	}
}

// drain writes everything that is pending, whether or not it is due.
func (c *Counter) drain(ctx context.Context) error {
	due, _ := c.due(c.Clock.Now().Add(2 * interval))
	errs := make([]error, len(due))
	var writes sync.WaitGroup
	for i, uid := range due {
		if err := c.writes.Acquire(ctx, 1); err != nil {
			errs[i] = fmt.Errorf("write occurrences: %w", err)
			continue
		}
		w, ok := c.begin(uid)
		if !ok {
			c.writes.Release(1)
			continue
		}
		writes.Go(func() {
			defer c.writes.Release(1)
			errs[i] = c.write(ctx, w)
		})
	}
	writes.Wait()
	failed, first := 0, error(nil)
	for _, err := range errs {
		if err == nil {
			continue
		}
		if failed++; first == nil {
			first = err
		}
	}
	if failed > 0 {
		return fmt.Errorf("occurrences of %d requests are missing from their status (they are on the audit trail): %w", failed, first)
	}
	return nil
}
