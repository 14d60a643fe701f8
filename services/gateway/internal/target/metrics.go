package target

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

// metrics of targets:
//
//	gateway_targets_total{rule}                 signals by the rule that named their target
//	gateway_target_rule_failures_total{rule}    rules that could not be evaluated
//	gateway_target_reads_total{result}          objects read from the API server for targets and owners
//	gateway_target_cached_objects               objects in the cache of these reads
type metrics struct {
	decisions *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, objects *lookups) (*metrics, error) {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_targets_total", Help: "Signals by the rule that named their target.",
		}, []string{"rule"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_target_rule_failures_total", Help: "Target rules that could not be evaluated for a signal.",
		}, []string{"rule"}),
	}
	objects.reads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_target_reads_total", Help: "Objects read from the API server to find targets and owners.",
	}, []string{"result"})
	cached := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_target_cached_objects", Help: "Objects in the cache of what was read to find targets and owners.",
	}, func() float64 { return float64(len(objects.cached.Keys())) })
	if err := errors.Join(r.Register(m.decisions), r.Register(m.failures), r.Register(objects.reads), r.Register(cached)); err != nil {
		return nil, fmt.Errorf("register metrics of targets: %w", err)
	}
	return m, nil
}

func (m *metrics) decided(d rules.Decision) {
	m.decisions.WithLabelValues(d.Rule).Inc()
	for _, f := range d.Failures {
		m.failures.WithLabelValues(f.Rule).Inc()
	}
}

// use drops the series of rules that may be gone, so that there are never more than
// the rules in force, and begins those of the others at 0.
func (m *metrics) use(set *rules.Set) {
	m.decisions.Reset()
	m.failures.Reset()
	for _, rule := range append(set.Rules(), rules.RuleUnmatched) {
		m.decisions.WithLabelValues(rule)
		m.failures.WithLabelValues(rule)
	}
}
