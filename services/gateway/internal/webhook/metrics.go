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
//	gateway_signals_total{source,status}    signals by what became of them
//	gateway_requests_in_flight              requests that are worked on
//	gateway_request_seconds{path,code}      time to answer a request
type metrics struct {
	signals  *prometheus.CounterVec
	inFlight prometheus.Gauge
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		signals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_signals_total", Help: "Signals by their source and what became of them.",
		}, []string{"source", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_requests_in_flight", Help: "Requests that are worked on.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_seconds", Help: "Time to answer a request, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{"path", "code"}),
	}
	if err := errors.Join(r.Register(m.signals), r.Register(m.inFlight), r.Register(m.seconds)); err != nil {
		return nil, fmt.Errorf("register metrics of the intake: %w", err)
	}
	return m, nil
}

// answered counts an answer. What is not a route of the API counts as other,
// so that clients cannot make series.
func (m *metrics) answered(path string, status int, took time.Duration) {
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
