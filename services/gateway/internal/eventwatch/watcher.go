package eventwatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// leaderLease is the name of the Lease that elects the replica.
const leaderLease = "gateway-event-watch"

// The times of the election are those of Kubernetes' own controllers.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

const (
	// maxPending bounds the events that were read and are not accepted yet.
	maxPending = 64
	// saveInterval is how often the position is written.
	saveInterval = 5 * time.Second
	saveTimeout  = 2 * time.Second
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

// Options of a Watcher. All fields are required unless stated otherwise.
type Options struct {
	Client kubernetes.Interface
	// Namespace has the Leases.
	Namespace string
	// Namespaces are watched; all if it is empty.
	Namespaces []string
	// Selector is a field selector, which the API server applies; may be empty.
	Selector string
	// Identity is different for each replica.
	Identity string
	// Deliver processes an event, in JSON. It is called again after an error.
	Deliver    func(ctx context.Context, event []byte) error
	Clock      clock.WithTicker
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Watcher watches events. Make it with New and run it once.
type Watcher struct {
	Options

	metrics    *metrics
	pending    *semaphore.Weighted
	deliveries sync.WaitGroup
}

// New makes a watcher.
func New(o Options) (*Watcher, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	if len(o.Namespaces) == 0 {
		o.Namespaces = []string{metav1.NamespaceAll}
	}
	return &Watcher{Options: o, metrics: m, pending: semaphore.NewWeighted(maxPending)}, nil
}

// Run takes part in the election, and watches while this replica is elected,
// until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	var leading sync.WaitGroup
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: w.Namespace, Name: leaderLease},
			Client:     w.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: w.Identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Name: leaderLease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { leading.Go(func() { w.lead(ctx) }) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("elect the replica that watches events: %w", err)
	}
	for ctx.Err() == nil {
		elector.Run(ctx)
		leading.Wait()
	}
	return nil
}

// lead watches until ctx ends.
func (w *Watcher) lead(ctx context.Context) {
	w.Log.Info("watching events", zap.Strings("namespaces", w.Namespaces), zap.String("selector", w.Selector))
	w.metrics.leading.Set(1)
	defer w.metrics.leading.Set(0)
	positions, err := w.load(ctx)
	if err != nil {
		return // ctx has ended
	}
	var following, saving sync.WaitGroup
	for _, namespace := range w.Namespaces {
		following.Go(func() { w.follow(ctx, namespace, positions) })
	}
	saving.Go(func() { w.keepSaving(ctx, positions) })
	following.Wait()
	w.deliveries.Wait()
	saving.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := positions.save(last); err != nil {
		w.Log.Debug("could not write the last position in the events", zap.Error(err))
	}
	w.Log.Info("stopped watching events")
}

// load reads the positions, and tries until it succeeds or ctx ends.
func (w *Watcher) load(ctx context.Context) (*positions, error) {
	wait := backoff{clock: w.Clock}
	for {
		p, err := loadPositions(ctx, w.Client.CoordinationV1().Leases(w.Namespace), w.Clock)
		if err == nil {
			return p, nil
		}
		w.failed(ctx, "could not read the position in the events", err)
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}

// keepSaving writes the positions at intervals.
func (w *Watcher) keepSaving(ctx context.Context, p *positions) {
	ticker := w.Clock.NewTicker(saveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			if err := p.save(ctx); err != nil {
				w.failed(ctx, "could not write the position in the events", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// failed logs and counts what is tried again.
func (w *Watcher) failed(ctx context.Context, message string, err error) {
	if ctx.Err() != nil {
		return
	}
	w.metrics.failures.Inc()
	w.Log.Warn(message, zap.Error(err))
}

// backoff waits longer each time.
type backoff struct {
	clock clock.WithTicker
	next  time.Duration
}

// sleep returns an error if ctx ends.
func (b *backoff) sleep(ctx context.Context) error {
	b.next = min(max(2*b.next, firstBackoff), lastBackoff)
	timer := b.clock.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller ends, too
	}
}

func (b *backoff) reset() { b.next = 0 }

// metrics of the watch:
//
//	gateway_event_watch_leading          1 in the replica that watches
//	gateway_event_watch_pending          events that were read and are not accepted yet
//	gateway_event_watch_delivered_total  events that were accepted
//	gateway_event_watch_failures_total   attempts to read, deliver or remember that failed and are repeated
//	gateway_event_watch_expired_total    times that the watch had to begin again with a list
type metrics struct {
	leading, pending             prometheus.Gauge
	delivered, failures, expired prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gateway_event_watch_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "gateway_event_watch_" + name, Help: help})
	}
	m := &metrics{
		leading:   gauge("leading", "1 in the replica that watches Kubernetes events."),
		pending:   gauge("pending", "Kubernetes events that were read and are not accepted yet."),
		delivered: counter("delivered_total", "Watched Kubernetes events that were accepted."),
		failures:  counter("failures_total", "Attempts to read, deliver or remember Kubernetes events that failed and are repeated."),
		expired:   counter("expired_total", "Times that the watch of Kubernetes events had to begin again with a list."),
	}
	if err := errors.Join(
		r.Register(m.leading), r.Register(m.pending), r.Register(m.delivered), r.Register(m.failures), r.Register(m.expired),
	); err != nil {
		return nil, fmt.Errorf("register metrics of the event watch: %w", err)
	}
	return m, nil
}
