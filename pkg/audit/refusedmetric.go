package audit

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label reason of audit_refused_total.
const (
	refusedInvalid  = "invalid"
	refusedFull     = "full"
	refusedClosed   = "closed"
	refusedCanceled = "canceled"
	refusedInDoubt  = "in_doubt"
	refusedOther    = "other"
)

var refusedReasons = []string{refusedInvalid, refusedFull, refusedClosed, refusedCanceled, refusedInDoubt, refusedOther}

func newRefusedCounter() *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "audit_refused_total", Help: "Events that Record did not accept, or left in doubt, by reason.",
	}, []string{"reason"})
	for _, reason := range refusedReasons {
		counter.WithLabelValues(reason)
	}
	return counter
}

// refused counts an event that Record did not accept. One that was accepted and
// then rejected by the sink is counted there.
func (m *metrics) refused(err error) {
	var invalid *ValidationError
	var rejected *RejectedError
	reason := refusedOther
	switch {
	case errors.As(err, &rejected):
		return
	case errors.As(err, &invalid):
		reason = refusedInvalid
	case errors.Is(err, ErrInDoubt):
		reason = refusedInDoubt
	case errors.Is(err, ErrFull):
		reason = refusedFull
	case errors.Is(err, ErrClosed):
		reason = refusedClosed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		reason = refusedCanceled
	}
	m.refusedBy.WithLabelValues(reason).Inc()
}

// stalledCollector counts the stalled events by code.
type stalledCollector struct{ store *Store }

var stalledDesc = prometheus.NewDesc("audit_stalled_events", "Pending events that the sink does not take for now, while it takes others.", []string{"reason"}, nil)

// Describe sends the metric's description.
func (*stalledCollector) Describe(into chan<- *prometheus.Desc) { into <- stalledDesc }

// Collect sends the counts.
func (c *stalledCollector) Collect(into chan<- prometheus.Metric) {
	c.store.mu.Lock()
	counts := make([]int, len(stalledCodes))
	for i, code := range stalledCodes {
		counts[i] = c.store.stalled.count[code]
	}
	c.store.mu.Unlock()
	for i, code := range stalledCodes {
		into <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, float64(counts[i]), code)
	}
}
