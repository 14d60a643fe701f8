package webhook

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the API:
//
//	gateway_signals_total{source,status}    signals by outcome
//	gateway_signals_forbidden_total         signals that their sender may not report
//	gateway_requests_in_flight              HTTP requests in flight
//	gateway_request_seconds{path,code}      time to respond
type metrics struct {
	signals   *prometheus.CounterVec
	forbidden prometheus.Counter
	inFlight  prometheus.Gauge
	seconds   *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		signals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_signals_total", Help: "Signals by source and outcome.",
		}, []string{"source", "status"}),
		forbidden: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_signals_forbidden_total", Help: "Signals that were rejected because their sender may not report on the target's namespace.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_requests_in_flight", Help: "HTTP requests in flight.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_seconds", Help: "Time to respond to an HTTP request, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{"path", "code"}),
	}
	if err := errors.Join(r.Register(m.signals), r.Register(m.forbidden), r.Register(m.inFlight), r.Register(m.seconds)); err != nil {
		return nil, fmt.Errorf("register metrics of the webhook: %w", err)
	}
	return m, nil
}

// responded counts a response. All paths that are not routes count as "other",
// so that clients cannot create series.
func (m *metrics) responded(path string, status int, took time.Duration) {
	if path != PathPrometheus {
		path = "other"
	}
	m.seconds.WithLabelValues(path, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) counted(source string, results []result) {
	for _, r := range results {
		m.signals.WithLabelValues(source, string(r.Status)).Inc()
	}
}
