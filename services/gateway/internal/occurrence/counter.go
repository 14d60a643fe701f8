package occurrence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// interval is the shortest time between two writes to one request.
	interval = time.Second
	// writeTimeout bounds one write.
	writeTimeout = 5 * time.Second
	// maxWrites bounds the concurrent writes, so that one that hangs does not
	// hold up the others.
	maxWrites = 8
	// DefaultCapacity is how many requests a counter holds.
	DefaultCapacity = 10_000
)

// Request identifies the request whose signals are counted.
type Request struct {
	types.NamespacedName

	UID types.UID
}

// Writer adds occurrences to a request's status. It must be safe for
// concurrent use. It returns no error for a request that no longer exists.
type Writer interface {
	Add(ctx context.Context, r Request, duplicates int64, lastSeen time.Time) error
}

// Options of a Counter. All fields are required.
type Options struct {
	Writer Writer
	Clock  clock.WithTicker
	Log    *zap.Logger
	// Capacity bounds the requests that are held at the same time.
	Capacity   int
	Registerer prometheus.Registerer
}

// Counter collects occurrences and writes them: the first of a request at once,
// later ones at most once a second. Add is safe for concurrent use; Run writes.
type Counter struct {
	Options

	writes *semaphore.Weighted
	failed prometheus.Counter
	wake   chan struct{} // holds one token if a request may be due earlier than Run knows

	mu      sync.Mutex
	tallies map[types.UID]*tally // guarded by mu
	failing int                  // guarded by mu: tallies whose latest write failed
}

// tally holds the occurrences of one request; guarded by the counter's mu.
type tally struct {
	request    Request
	pending    bool // there is something to write
	writing    bool // a write is in progress
	failing    bool // the latest write failed
	duplicates int64
	lastSeen   time.Time
	// due is the earliest time of the next write.
	due time.Time
}

// NewCounter returns a counter and registers its metrics:
//
//	gateway_counts_pending                requests whose latest occurrences are not in their status yet
//	gateway_count_write_failures_total    writes of occurrences that failed
func NewCounter(o Options) (*Counter, error) {
	if o.Capacity < 1 {
		return nil, fmt.Errorf("capacity of the occurrence counter must be positive, got %d", o.Capacity)
	}
	c := &Counter{
		Options: o,
		writes:  semaphore.NewWeighted(maxWrites),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_count_write_failures_total", Help: "Writes of occurrence counts to the status of requests that failed.",
		}),
		wake:    make(chan struct{}, 1),
		tallies: map[types.UID]*tally{},
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_counts_pending", Help: "Requests whose latest occurrences are not in their status yet.",
	}, func() float64 { return float64(c.Pending()) })
	if err := errors.Join(o.Registerer.Register(c.failed), o.Registerer.Register(pending)); err != nil {
		return nil, fmt.Errorf("register metrics of the occurrence counter: %w", err)
	}
	return c, nil
}

// Add counts a signal: duplicates is 0 for the first signal of a request and 1
// for each later one. It returns at once, unless the counter is full: then it
// writes before it returns, and an error means that the write failed.
func (c *Counter) Add(ctx context.Context, r Request, duplicates int64, seen time.Time) error {
	if c.collect(r, duplicates, seen) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := c.Writer.Add(ctx, r, duplicates, seen); err != nil {
		c.failed.Inc()
		return fmt.Errorf("count signal of %s: %w", r.Name, err)
	}
	return nil
}

// Pending returns how many requests have occurrences that are not written yet.
func (c *Counter) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := 0
	for _, t := range c.tallies {
		if t.pending || t.writing {
			pending++
		}
	}
	return pending
}

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
			t, ok := c.begin(uid)
			if !ok {
				c.writes.Release(1)
				continue
			}
			writes.Go(func() {
				defer c.writes.Release(1)
				_ = c.write(writing, t) // it is pending again, counted and logged
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

// collect adds an occurrence for Run, and reports whether there was capacity.
func (c *Counter) collect(r Request, duplicates int64, seen time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tallies[r.UID]
	if !ok {
		if len(c.tallies) >= c.Capacity {
			return false
		}
		t = &tally{request: r, due: c.Clock.Now()}
		c.tallies[r.UID] = t
		c.wakeUp()
	}
	t.add(duplicates, seen)
	return true
}

func (t *tally) add(duplicates int64, seen time.Time) {
	t.pending = true
	t.duplicates += duplicates
	if seen.After(t.lastSeen) {
		t.lastSeen = seen
	}
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
		case rest > 0:
			if wait == 0 || rest < wait {
				wait = rest
			}
		case t.pending:
			due = append(due, uid)
		default:
			delete(c.tallies, uid)
		}
	}
	return due, wait
}

// write writes occurrences that begin returned. If it fails, they are pending again.
func (c *Counter) write(ctx context.Context, t tally) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := c.Writer.Add(ctx, t.request, t.duplicates, t.lastSeen)
	c.end(t, err)
	if err != nil {
		return fmt.Errorf("write occurrences of %s: %w", t.request.Name, err)
	}
	return nil
}

// begin takes the pending occurrences of a request; false if there are none.
func (c *Counter) begin(uid types.UID) (tally, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tallies[uid]
	if !ok || t.writing || !t.pending {
		return tally{}, false
	}
	taken := *t
	t.pending, t.writing, t.duplicates, t.due = false, true, 0, c.Clock.Now().Add(interval)
	return taken, true
}

// end notes the result of a write. It logs when writes begin to fail, and when
// all of them succeed again.
func (c *Counter) end(taken tally, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeUp()
	t := c.tallies[taken.request.UID] // is not dropped during a write
	t.writing = false
	switch {
	case err != nil:
		c.failed.Inc()
		t.add(taken.duplicates, taken.lastSeen)
		t.due = c.Clock.Now().Add(interval)
		if t.failing {
			return
		}
		t.failing = true
		if c.failing++; c.failing == 1 {
			c.Log.Warn("occurrence counts cannot be written; trying again every second",
				zap.String("request", t.request.String()), zap.Error(err))
		}
	case t.failing:
		t.failing = false
		if c.failing--; c.failing == 0 {
			c.Log.Info("occurrence counts are written again")
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
		t, ok := c.begin(uid)
		if !ok {
			c.writes.Release(1)
			continue
		}
		writes.Go(func() {
			defer c.writes.Release(1)
			errs[i] = c.write(ctx, t)
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
