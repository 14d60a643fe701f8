package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/services/gateway/internal/signal"
)

// metrics of the API:
//
//	gateway_signals_total{source,status}    signals by outcome
//	gateway_signals_forbidden_total         signals that their sender may not report
//	gateway_signals_truncated_total{source,by}  signals that were left out, by the sender or by the gateway
//	gateway_requests_in_flight              HTTP requests in flight
//	gateway_request_seconds{path,code}      time to respond
type metrics struct {
	signals   *prometheus.CounterVec
	forbidden prometheus.Counter
	truncated *prometheus.CounterVec
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
		truncated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_signals_truncated_total",
			Help: "Signals that were left out of a notification, by its sender, or by the gateway because they lie beyond the bounds of a body.",
		}, []string{"source", "by"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_requests_in_flight", Help: "HTTP requests in flight.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_seconds", Help: "Time to respond to an HTTP request, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{"path", "code"}),
	}
	if err := errors.Join(
		r.Register(m.signals), r.Register(m.forbidden), r.Register(m.truncated), r.Register(m.inFlight), r.Register(m.seconds),
	); err != nil {
		return nil, fmt.Errorf("register metrics of the webhook: %w", err)
	}
	for _, adapter := range adapters() {
		for _, by := range []string{bySender, byGateway} {
			m.truncated.WithLabelValues(adapter.Source, by) // exported from the start, so that an alert sees the first one
		}
	}
	return m, nil
}

// The values of the label "by": who left signals out.
const (
	bySender  = "sender"
	byGateway = "gateway"
)

// responded counts a response. All paths that are not routes count as "other",
// so that clients cannot create series.
func (m *metrics) responded(path string, status int, took time.Duration) {
	if !slices.ContainsFunc(adapters(), func(a Adapter) bool { return a.Path == path }) {
		path = "other"
	}
	m.seconds.WithLabelValues(path, strconv.Itoa(status)).Observe(took.Seconds())
}

// counted counts the signals of a notification that was processed.
func (m *metrics) counted(n *signal.Notification, results []result) {
	for i := range results {
		m.signals.WithLabelValues(n.Source, string(results[i].Status)).Inc()
	}
	if n.Unlisted > 0 {
		m.signals.WithLabelValues(n.Source, string(statusRejected)).Add(float64(n.Unlisted))
	}
	if n.Truncated > 0 {
		m.truncated.WithLabelValues(n.Source, bySender).Add(float64(n.Truncated))
	}
	if n.Beyond.Any() {
		m.truncated.WithLabelValues(n.Source, byGateway).Add(float64(max(1, n.Beyond.Signals)))
	}
}
