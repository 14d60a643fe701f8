package duplicates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/auditevents"
)

const (
	// single is how many duplicates of a request are recorded one by one in an hour.
	single = 10
	// period is how long that number counts.
	period = time.Hour
	// interval is the time between two events about one request.
	interval = time.Second
	// flushTimeout bounds the events of one interval.
	flushTimeout = 5 * time.Second
	// maxInstances bounds the instances that an event lists.
	maxInstances = v1alpha1.MaxSignalInstances
	// DefaultCapacity is how many requests a log holds.
	DefaultCapacity = 10_000
)

// Duplicate is a signal of an existing request that changed nothing.
type Duplicate struct {
	// Request and UID identify the request.
	Request types.NamespacedName
	UID     types.UID
	// Fingerprint and SignalName are the signal's.
	Fingerprint, SignalName string
	// Instance is the id of the signal's instance.
	Instance string
	// Resolved marks a signal that repeats the end of its instance.
	Resolved bool
	// Seen is when the signal arrived.
	Seen time.Time
}

// Options of a Log. All fields are required.
type Options struct {
	Recorder auditevents.Recorder
	Clock    clock.WithTicker
	Log      *zap.Logger
	// Capacity bounds the requests that are held at the same time. Of requests
	// beyond it every duplicate is recorded by itself.
	Capacity   int
	Registerer prometheus.Registerer
}

// Log decides which duplicates are recorded by themselves, and records the
// others. Take is safe for concurrent use; Run records.
type Log struct {
	Options

	together prometheus.Counter
	wake     chan struct{} // holds one token if there may be something to record
	flushing sync.Mutex    // held by a Flush, so that another one waits for its events

	mu      sync.Mutex
	recent  *lru.Cache           // guarded by mu: from UIDs to *hour
	pending map[types.UID]*entry // guarded by mu: what is recorded next
}

// hour counts the duplicates of a request that were recorded one by one.
type hour struct {
	begin time.Time
	count int
}

// entry collects the duplicates of one request.
type entry struct {
	auditevents.Duplicates

	instances map[string]int64
}

// New returns a log and registers its metrics:
//
//	gateway_duplicates_coalesced_total    duplicates that were not recorded one by one
//	gateway_duplicates_pending            requests whose latest duplicates are not recorded yet
func New(o Options) (*Log, error) {
	if o.Capacity < 1 {
		return nil, fmt.Errorf("capacity of the log of duplicates must be positive, got %d", o.Capacity)
	}
	l := &Log{
		Options: o,
		together: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_duplicates_coalesced_total", Help: "Duplicates that were recorded together with others.",
		}),
		wake:    make(chan struct{}, 1),
		recent:  lru.New(o.Capacity),
		pending: map[types.UID]*entry{},
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_duplicates_pending", Help: "Requests whose latest duplicates are not recorded yet.",
	}, func() float64 { return float64(l.size()) })
	if err := errors.Join(o.Registerer.Register(l.together), o.Registerer.Register(pending)); err != nil {
		return nil, fmt.Errorf("register metrics of the log of duplicates: %w", err)
	}
	return l, nil
}

// Take takes a duplicate, and reports false if the caller has to record it by itself.
func (l *Log) Take(d Duplicate) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.single(d.UID) {
		return false
	}
	e, ok := l.pending[d.UID]
	if !ok {
		if len(l.pending) >= l.Capacity {
			return false
		}
		e = &entry{Duplicates: auditevents.Duplicates{
			Request: d.Request, Fingerprint: d.Fingerprint, SignalName: d.SignalName, First: d.Seen, Last: d.Seen,
		}, instances: map[string]int64{}}
		l.pending[d.UID] = e
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	e.add(d)
	l.together.Inc()
	return true
}

func (e *entry) add(d Duplicate) {
	if d.Resolved {
		e.Resolved++
	} else {
		e.Count++
	}
	if d.Seen.Before(e.First) {
		e.First = d.Seen
	}
	if d.Seen.After(e.Last) {
		e.Last = d.Seen
	}
	if _, ok := e.instances[d.Instance]; !ok && len(e.instances) >= maxInstances {
		e.More++
		return
	}
	e.instances[d.Instance]++
}

// merge adds what could not be recorded before.
func (e *entry) merge(before *entry) {
	e.Count += before.Count
	e.Resolved += before.Resolved
	e.More += before.More
	if before.First.Before(e.First) {
		e.First = before.First
	}
	if before.Last.After(e.Last) {
		e.Last = before.Last
	}
	for id, count := range before.instances {
		if _, ok := e.instances[id]; !ok && len(e.instances) >= maxInstances {
			e.More += count
			continue
		}
		e.instances[id] += count
	}
}

// Run records what was taken, an interval after it was. When ctx ends, it
// records what is left, for as long as grace returns at that time.
func (l *Log) Run(ctx context.Context, grace func() time.Duration) error {
	failing := false
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return l.last(ctx, grace())
		}
		timer := l.Clock.NewTimer(interval)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return l.last(ctx, grace())
		}
		// The end of ctx does not interrupt a flush: it is short.
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		err := l.Flush(flushing)
		cancel()
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				l.Log.Warn("duplicates cannot be recorded; trying again every second", zap.Error(err))
			} else {
				l.Log.Info("duplicates are recorded again")
			}
		}
	}
}

// Flush records everything that was taken before the call. What fails is pending
// again; the error is the first.
func (l *Log) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	taken := l.pending
	l.pending = make(map[types.UID]*entry)
	l.mu.Unlock()
	var first error
	for uid, e := range taken {
		if err := auditevents.RecordDuplicates(ctx, l.Recorder, e.event()); err != nil {
			if !errors.Is(err, audit.ErrInDoubt) { // else they may be recorded, and would count twice
				l.restore(uid, e)
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// restore makes duplicates pending again. They do not count for the capacity.
func (l *Log) restore(uid types.UID, before *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.pending[uid]; ok {
		e.merge(before)
	} else {
		l.pending[uid] = before
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// event returns the duplicates with the instances in order.
func (e *entry) event() *auditevents.Duplicates {
	d := e.Duplicates
	for id, count := range e.instances {
		d.Instances = append(d.Instances, auditevents.InstanceCount{ID: id, Count: count})
	}
	slices.SortFunc(d.Instances, func(a, b auditevents.InstanceCount) int { return strings.Compare(a.ID, b.ID) })
	return &d
}

func (l *Log) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending)
}

// single reports whether the next duplicate is one of the first in an hour. The
// caller holds the lock.
func (l *Log) single(uid types.UID) bool {
	now := l.Clock.Now()
	known, _ := l.recent.Get(uid)
	h, ok := known.(*hour)
	if !ok || now.Sub(h.begin) >= period {
		h = &hour{begin: now}
		l.recent.Add(uid, h)
	}
	if h.count >= single {
		return false
	}
	h.count++
	return true
}

func (l *Log) last(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		return fmt.Errorf("duplicates of %d requests are missing from their trails: %w", l.size(), err)
	}
	return nil
}
