package processing

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/api/v1alpha1"
)

// Metrics count what the Processor does.
type Metrics struct {
	steps     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	again     *prometheus.CounterVec
	degraded  prometheus.Counter
	conflicts prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_steps_total",
			Help: "Steps by the phase before the step and by result (ok or error); a failed attempt is an error.",
		}, []string{"phase", "result"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "signalprocessing_step_duration_seconds",
			Help:    "Time from reading the resource to writing its status.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"phase"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_decisions_total",
			Help: "Completed signals by severity, environment and priority.",
		}, []string{"severity", "environment", "priority"}),
		again: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalprocessing_reclassifications_total",
			Help: "Classified signals whose source said another severity, by whether severity or priority was raised.",
		}, []string{"raised"}),
		degraded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalprocessing_degraded_total",
			Help: "Signals whose target was not found.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalprocessing_conflicts_total",
			Help: "Steps repeated because the resource had changed.",
		}),
	}
	for _, c := range []prometheus.Collector{m.steps, m.durations, m.decisions, m.again, m.degraded, m.conflicts} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) step(phase v1alpha1.ProcessingPhase, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.steps.WithLabelValues(string(phase), result).Inc()
	m.durations.WithLabelValues(string(phase)).Observe(took.Seconds())
}

func (m *Metrics) reclassified(raised bool) {
	m.again.WithLabelValues(strconv.FormatBool(raised)).Inc()
}

func (m *Metrics) conflict() { m.conflicts.Inc() }

// decided counts the decisions of a signal once, when it is completed.
func (m *Metrics) decided(status *v1alpha1.SignalProcessingStatus) {
	if status.Phase == v1alpha1.ProcessingClassifying && status.Context.Degraded {
		m.degraded.Inc()
	}
	if status.Phase == v1alpha1.ProcessingCompleted && status.Severity != nil && status.Environment != nil {
		m.decisions.WithLabelValues(string(status.Severity.Value), string(status.Environment.Value), string(status.Priority.Value)).Inc()
	}
}
