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

	"kubernaut.ai/api/v1alpha1"
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

// Writer writes what a request's signals say to its status. It must be safe for
// concurrent use. It returns, for each change, whether the instance is counted
// among those that are not listed, and no error for a request that no longer exists.
type Writer interface {
	Write(ctx context.Context, r Request, b *Batch) (beyond []bool, err error)
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

// Counter collects what signals say about their requests and writes it: changes
// of state at once, duplicates at most once a second. Its methods are safe for
// concurrent use; Run writes.
type Counter struct {
	Options

	memory  *memory
	writes  *semaphore.Weighted
	failed  prometheus.Counter
	changes *prometheus.CounterVec
	wake    chan struct{} // holds one token if a request may be due earlier than Run knows

	mu      sync.Mutex
	tallies map[types.UID]*tally // guarded by mu
	failing int                  // guarded by mu: tallies whose latest write failed
}

// tally holds what is to be written about one request; guarded by the counter's mu.
type tally struct {
	request Request
	pending *Batch // nil if there is nothing to write
	writing bool   // a write is in progress
	failing bool   // the latest write failed
	// due is the earliest time of the next write, unless a change waits.
	due time.Time
}

// work is a batch that was taken for a write.
type work struct {
	*Batch

	request Request
}

// NewCounter returns a counter and registers its metrics:
//
//	gateway_counts_pending                  requests whose latest occurrences are not in their status yet
//	gateway_count_write_failures_total      writes of occurrences that failed
//	gateway_instance_changes_total{change}  changes of which instances fire: fired, resolved
func NewCounter(o Options) (*Counter, error) {
	if o.Capacity < 1 {
		return nil, fmt.Errorf("capacity of the occurrence counter must be positive, got %d", o.Capacity)
	}
	c := &Counter{
		Options: o,
		memory:  newMemory(),
		writes:  semaphore.NewWeighted(maxWrites),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_count_write_failures_total", Help: "Writes of occurrence counts to the status of requests that failed.",
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_instance_changes_total", Help: "Changes of which instances of signals fire.",
		}, []string{"change"}),
		wake:    make(chan struct{}, 1),
		tallies: map[types.UID]*tally{},
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_counts_pending", Help: "Requests whose latest occurrences are not in their status yet.",
	}, func() float64 { return float64(c.Pending()) })
	if err := errors.Join(o.Registerer.Register(c.failed), o.Registerer.Register(c.changes), o.Registerer.Register(pending)); err != nil {
		return nil, fmt.Errorf("register metrics of the occurrence counter: %w", err)
	}
	return c, nil
}

// Change returns what a report changes in a request, which must be no older than
// the report. The request is not changed.
func (c *Counter) Change(request *v1alpha1.RemediationRequest, r Report) Change {
	k := instanceKey{request.UID, r.ID}
	if r.Resolved {
		c.memory.end(k, r)
	} else if c.memory.late(k, r) {
		return Change{}
	}
	return changeOf(Signals(request), r, c.memory.isBeyond(k))
}

// Apply writes a change of state and returns when it is written. Changes of one
// request that wait at the same time share a write. An error means that it may
// not be written; then the sender has to repeat its signal.
func (c *Counter) Apply(ctx context.Context, r Request, report Report) error {
	change := PendingChange{
		Report: report, known: c.memory.isBeyond(instanceKey{r.UID, report.ID}), done: make(chan error, 1),
	}
	if !c.collect(r, report, func(b *Batch) { b.Changes = append(b.Changes, change) }) {
		b := &Batch{Changes: []PendingChange{change}}
		b.count(report)
		return c.writeNow(ctx, work{b, r})
	}
	select {
	case err := <-change.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("write signals of %s: %w", r.Name, ctx.Err())
	}
}

// Count counts a plain duplicate. It returns at once, unless the counter is
// full: then it writes before it returns, and an error means that the write failed.
func (c *Counter) Count(ctx context.Context, r Request, report Report) error {
	if c.collect(r, report, func(b *Batch) { b.see(report) }) {
		return nil
	}
	b := &Batch{}
	b.count(report)
	b.see(report)
	return c.writeNow(ctx, work{b, r})
}

// Pending returns how many requests have occurrences that are not written yet.
func (c *Counter) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := 0
	for _, t := range c.tallies {
		if t.pending != nil || t.writing {
			pending++
		}
	}
	return pending
}

// collect adds a report for Run, and reports whether there was capacity.
func (c *Counter) collect(r Request, report Report, add func(*Batch)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tallies[r.UID]
	if !ok {
		if len(c.tallies) >= c.Capacity {
			return false
		}
		t = &tally{request: r, due: c.Clock.Now()}
		c.tallies[r.UID] = t
	}
	if t.pending == nil {
		t.pending = &Batch{}
	}
	t.pending.count(report)
	add(t.pending)
	if !ok || t.urgent() {
		c.wakeUp()
	}
	return true
}

// urgent reports whether a change of state waits.
func (t *tally) urgent() bool { return t.pending != nil && len(t.pending.Changes) > 0 }

func (c *Counter) writeNow(ctx context.Context, w work) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := c.put(ctx, w)
	if err != nil {
		c.failed.Inc()
	}
	return err
}

// put writes a batch, and remembers what became of its changes.
func (c *Counter) put(ctx context.Context, w work) error {
	beyond, err := c.Writer.Write(ctx, w.request, w.Batch)
	if err != nil {
		return fmt.Errorf("write signals of %s: %w", w.request.Name, err)
	}
	for at, change := range w.Changes {
		c.memory.note(instanceKey{w.request.UID, change.ID}, beyond[at])
	}
	for id := range w.Beyond {
		c.memory.note(instanceKey{w.request.UID, id}, true)
	}
	for id := range w.Ended {
		c.memory.note(instanceKey{w.request.UID, id}, false)
	}
	return nil
}
