package heartbeat

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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Path takes a signal of the Gateway itself the way of all signals, and returns
// its request; the zero key if it has none. Calling it again is safe. The id names
// what is reported, in the place of the id of an HTTP request.
type Path func(ctx context.Context, id string, o *signal.Observation) (types.NamespacedName, error)

// Trail records what became of expected heartbeats. Recording a loss again, by any
// replica, is the same event.
type Trail interface {
	Lost(ctx context.Context, request types.NamespacedName, loss *Loss) error
	Restored(ctx context.Context, request types.NamespacedName, loss *Loss) error
}

// Options of a Monitor. All fields are required, except that there may be no expectations.
type Options struct {
	Expectations []Expectation
	// Client reads and writes without a cache.
	Client client.Client
	// Namespace is the Gateway's own; the Leases live there.
	Namespace  string
	Path       Path
	Trail      Trail
	Clock      clock.WithTicker
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Monitor knows heartbeats and watches the expected ones. It is safe for concurrent use.
type Monitor struct {
	Options

	metrics *metrics
	records *records
	// heartbeats are the configured alerts, beats those of them that are expected.
	heartbeats []Expectation
	beats      []*Beat
}

// New makes a monitor, which begins to expect heartbeats at once, and registers its metrics.
func New(o Options) (*Monitor, error) {
	m := &Monitor{Options: o, heartbeats: o.Expectations, records: &records{client: o.Client, namespace: o.Namespace}}
	now := o.Clock.Now()
	for _, e := range o.Expectations {
		if e.Within > 0 {
			m.beats = append(m.beats, &Beat{
				Expectation: e, monitor: m, lease: "heartbeat-" + e.digest(), turn: semaphore.NewWeighted(1), since: now,
			})
		}
	}
	var err error
	if m.metrics, err = newMetrics(o.Registerer, m.lost); err != nil {
		return nil, err
	}
	return m, nil
}

// Match reports whether a signal is a heartbeat, and which of the expected ones it is.
func (m *Monitor) Match(spec *v1alpha1.RemediationRequestSpec) (expected []*Beat, heartbeat bool) {
	heartbeat = is(spec)
	if spec.SignalType == v1alpha1.SignalTypeAlert {
		for i := range m.heartbeats {
			heartbeat = heartbeat || m.heartbeats[i].matches(spec.SignalName, spec.Labels)
		}
		for _, b := range m.beats {
			if b.matches(spec.SignalName, spec.Labels) {
				expected = append(expected, b)
			}
		}
	}
	if heartbeat {
		m.metrics.received.Inc()
	}
	return expected, heartbeat
}

// Run watches the expected heartbeats until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, b := range m.beats {
		group.Go(func() { m.watch(ctx, b) })
	}
	<-ctx.Done()
	group.Wait()
	return nil
}

func (m *Monitor) watch(ctx context.Context, b *Beat) {
	for wait := b.Within; ; {
		timer := m.Clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return
		}
		var err error
		if wait, err = b.check(ctx); err != nil && ctx.Err() == nil {
			m.metrics.failures.Inc()
			m.Log.Warn("could not check a heartbeat; trying again", zap.String("heartbeat", b.String()), zap.Duration("after", wait), zap.Error(err))
		}
	}
}

// lost is the number of heartbeats that this replica knows to be lost.
func (m *Monitor) lost() float64 {
	lost := 0
	for _, b := range m.beats {
		if b.isLost() {
			lost++
		}
	}
	return float64(lost)
}

// errContended is transient.
var errContended = errors.New("other replicas kept changing its lease")

// metrics of a monitor:
//
//	gateway_heartbeats_total                           heartbeats that arrived
//	gateway_heartbeats_lost                            expected heartbeats that stay away
//	gateway_heartbeat_seen_timestamp_seconds{heartbeat} when this replica last saw an expected one
//	gateway_heartbeat_failures_total                   checks and reports of lost heartbeats that failed
type metrics struct {
	received, failures prometheus.Counter
	seen               *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, lost func() float64) (*metrics, error) {
	m := &metrics{
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_heartbeats_total", Help: "Heartbeat alerts that arrived.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_heartbeat_failures_total", Help: "Checks and reports of expected heartbeats that failed.",
		}),
		seen: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_heartbeat_seen_timestamp_seconds", Help: "When this replica last saw an expected heartbeat, in Unix seconds.",
		}, []string{"heartbeat"}),
	}
	lostGauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_heartbeats_lost", Help: "Expected heartbeats that stay away.",
	}, lost)
	if err := errors.Join(r.Register(m.received), r.Register(m.failures), r.Register(m.seen), r.Register(lostGauge)); err != nil {
		return nil, fmt.Errorf("register metrics of heartbeats: %w", err)
	}
	return m, nil
}

// The times between checks.
const (
	// repeatEvery is how often a loss is reported again, so that its request does
	// not become stale.
	repeatEvery = time.Hour
	// retryAfter a check that failed while a heartbeat is lost.
	retryAfter = 10 * time.Second
	// While a heartbeat is lost, replicas look at its record in halves of its
	// period, within these bounds.
	minPoll, maxPoll = 15 * time.Second, time.Minute
	// writesInPeriod bounds how often a replica writes that it has seen a heartbeat.
	writesInPeriod = 30
)
