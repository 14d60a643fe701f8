package quota

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// criticalShare is the part of each bound that only critical problems may use: one in so many.
	criticalShare = 10
	// expireAfter is how long a reservation lasts whose request the informer
	// never reports, because the request was created and removed during a relist.
	expireAfter = 10 * time.Minute
	// severityCritical is the severity, as the source said it, of a critical problem.
	severityCritical = "critical"
)

// Bound is what a limit counts.
type Bound string

// The bounds.
const (
	BoundSender    Bound = "sender"
	BoundNamespace Bound = "namespace"
	BoundTotal     Bound = "total"
)

// Limits are the highest numbers of open requests.
type Limits struct {
	PerSender    int
	PerNamespace int
	Total        int
}

// Problem is what a new request would be about.
type Problem struct {
	// Sender is who reports it; empty if that is unknown.
	Sender string
	// Namespace is the request's.
	Namespace string
	// Severity as the source said it.
	Severity string
}

func (p Problem) critical() bool { return strings.EqualFold(p.Severity, severityCritical) }

// ExceededError means that a problem gets no request, because as many are open as may be.
type ExceededError struct {
	Bound Bound
	// Limit is the highest number of open requests for this problem.
	Limit   int
	Problem Problem
}

// Error says which bound it is.
func (e *ExceededError) Error() string {
	switch e.Bound {
	case BoundSender:
		return fmt.Sprintf("%d requests of sender %s are open, which is the bound", e.Limit, e.Problem.Sender)
	case BoundNamespace:
		return fmt.Sprintf("%d requests in namespace %s are open, which is the bound", e.Limit, e.Problem.Namespace)
	case BoundTotal:
	}
	return fmt.Sprintf("%d requests are open, which is the bound", e.Limit)
}

// Options of a Quota. All fields are required unless stated otherwise.
type Options struct {
	Limits Limits
	Clock  clock.PassiveClock
	// Configured returns the names of the senders that the configuration lists; nil if it lists none.
	Configured func() []string
	Registerer prometheus.Registerer
}

// Quota counts open requests. It is safe for concurrent use.
type Quota struct {
	options  Options
	exceeded *prometheus.CounterVec

	mu       sync.Mutex
	counts   counts                                // guarded by mu: open requests and reservations
	open     map[types.NamespacedName]Problem      // guarded by mu: as the informer reports them
	pending  map[types.NamespacedName]*Reservation // guarded by mu: reservations whose request has a name
	reserved *list.List                            // guarded by mu: of *Reservation, the oldest first
	senders  senders                               // guarded by mu
}

// counts are numbers of requests.
type counts struct {
	total       int
	bySender    map[string]int
	byNamespace map[string]int
}

func (c *counts) add(p Problem, n int) {
	c.total += n
	change(c.bySender, p.Sender, n)
	change(c.byNamespace, p.Namespace, n)
}

func change(m map[string]int, key string, n int) {
	if m[key] += n; m[key] == 0 {
		delete(m, key)
	}
}

// New returns a Quota and registers its metrics:
//
//	gateway_open_requests                    open requests that count, and those about to be opened
//	gateway_open_requests_limit              the bound on all of them
//	gateway_quota_exceeded_total{bound}      signals that got no request of their own: sender, namespace, total
func New(o Options) (*Quota, error) {
	if o.Limits.PerSender < 1 || o.Limits.PerNamespace < 1 || o.Limits.Total < 1 {
		return nil, fmt.Errorf("bounds on open requests must be positive, got %+v", o.Limits)
	}
	q := &Quota{
		options: o,
		exceeded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_quota_exceeded_total", Help: "Signals that got no request of their own because of a bound on open requests.",
		}, []string{"bound"}),
		counts:   counts{bySender: map[string]int{}, byNamespace: map[string]int{}},
		open:     map[types.NamespacedName]Problem{},
		pending:  map[types.NamespacedName]*Reservation{},
		reserved: list.New(),
		senders:  senders{seen: map[string]time.Time{}},
	}
	for _, b := range []Bound{BoundSender, BoundNamespace, BoundTotal} {
		q.exceeded.WithLabelValues(string(b))
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_open_requests", Help: "Open remediation requests that count against the bounds.",
	}, func() float64 { return float64(q.Open()) })
	limit := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gateway_open_requests_limit", Help: "Bound on open remediation requests."})
	limit.Set(float64(o.Limits.Total))
	if err := errors.Join(o.Registerer.Register(q.exceeded), o.Registerer.Register(open), o.Registerer.Register(limit)); err != nil {
		return nil, fmt.Errorf("register metrics of the quota: %w", err)
	}
	return q, nil
}

// Open returns how many requests count.
func (q *Quota) Open() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts.total
}

// Reserve admits a new problem, or returns an *ExceededError.
func (q *Quota) Reserve(p Problem) (*Reservation, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire()
	if err := q.check(p); err != nil {
		q.exceeded.WithLabelValues(string(err.Bound)).Inc()
		return nil, err
	}
	r := &Reservation{quota: q, problem: p, at: q.options.Clock.Now()}
	r.element = q.reserved.PushBack(r)
	q.counts.add(p, 1)
	return r, nil
}

// check compares the counts with the bounds. The caller holds mu.
func (q *Quota) check(p Problem) *ExceededError {
	bounds := []struct {
		bound        Bound
		count, limit int
		applies      bool
	}{
		{BoundSender, q.counts.bySender[p.Sender], q.options.Limits.PerSender, p.Sender != "" && q.severalSenders()},
		{BoundNamespace, q.counts.byNamespace[p.Namespace], q.options.Limits.PerNamespace, true},
		{BoundTotal, q.counts.total, q.options.Limits.Total, true},
	}
	for _, b := range bounds {
		if !p.critical() {
			b.limit -= b.limit / criticalShare
		}
		if b.applies && b.count >= b.limit {
			return &ExceededError{Bound: b.bound, Limit: b.limit, Problem: p}
		}
	}
	return nil
}

// expire ends reservations that are too old. The caller holds mu.
func (q *Quota) expire() {
	for front := q.reserved.Front(); front != nil; front = q.reserved.Front() {
		r, ok := front.Value.(*Reservation)
		if !ok || q.options.Clock.Since(r.at) < expireAfter {
			return
		}
		r.end()
	}
}

// Reservation is the place of a request that is being opened.
type Reservation struct {
	quota   *Quota
	problem Problem
	at      time.Time

	element *list.Element        // guarded by quota.mu; nil once the reservation has ended
	request types.NamespacedName // guarded by quota.mu
}

// For names the request, before it is created: the reservation ends when the
// informer reports it.
func (r *Reservation) For(request types.NamespacedName) {
	r.quota.mu.Lock()
	defer r.quota.mu.Unlock()
	if r.element == nil {
		return
	}
	delete(r.quota.pending, r.request)
	r.request = request
	r.quota.pending[request] = r
}

// Release ends the reservation of a request that was not created. Calling it
// again, or after the informer has reported the request, changes nothing.
func (r *Reservation) Release() {
	r.quota.mu.Lock()
	defer r.quota.mu.Unlock()
	r.end()
}

// end gives the place back. The caller holds mu.
func (r *Reservation) end() {
	if r.element == nil {
		return
	}
	r.quota.reserved.Remove(r.element)
	r.element = nil
	if r.quota.pending[r.request] == r {
		delete(r.quota.pending, r.request)
	}
	r.quota.counts.add(r.problem, -1)
}
