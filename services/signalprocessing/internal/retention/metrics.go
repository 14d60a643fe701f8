package retention

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
)

// What delays a deletion.
const (
	delayedByTrail    = "trail"
	delayedByRegister = "register"
)

// Metrics count what the Reconciler does.
type Metrics struct {
	ends, deletions, delays *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_requests_skipped_total",
			Help: "Requests that ended without a remediation, by reason (ResolvedBeforeExecution or Stale).",
		}, []string{"reason"}),
		deletions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_requests_deleted_total",
			Help: "Requests that were removed, by cause (expired or requested).",
		}, []string{"cause"}),
		delays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_deletions_delayed_total",
			Help: "Attempts to remove a request that have to be repeated, by what they wait for (trail or register).",
		}, []string{"by"}),
	}
	for _, c := range []prometheus.Collector{m.ends, m.deletions, m.delays} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, counter := range []prometheus.Counter{
		m.ends.WithLabelValues(v1alpha1.ReasonResolvedBeforeExecution), m.ends.WithLabelValues(v1alpha1.ReasonStale),
		m.deletions.WithLabelValues(auditevents.CauseExpired), m.deletions.WithLabelValues(auditevents.CauseRequested),
		m.delays.WithLabelValues(delayedByTrail), m.delays.WithLabelValues(delayedByRegister),
	} {
		counter.Add(0) // alerts need the series before the first failure
	}
	return m, nil
}

func (m *Metrics) ended(reason string)  { m.ends.WithLabelValues(reason).Inc() }
func (m *Metrics) deleted(cause string) { m.deletions.WithLabelValues(cause).Inc() }
func (m *Metrics) delayed(by string)    { m.delays.WithLabelValues(by).Inc() }
