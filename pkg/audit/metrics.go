package audit

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label result of audit_flushes_total.
const (
	resultStored   = "stored"
	resultRejected = "rejected"
	resultLost     = "lost"
	resultPending  = "pending"
)

// metrics are a store's; the table in the package's documentation explains them.
type metrics struct {
	registerer prometheus.Registerer
	registered []prometheus.Collector

	accepted, stored, duplicates, rejected, lost, retries, spilled, recovered prometheus.Counter

	refusedBy     *prometheus.CounterVec
	flushes       map[string]prometheus.Counter
	flushDuration prometheus.Histogram
	batchEvents   prometheus.Histogram
	groupEvents   prometheus.Histogram
	spoolDuration prometheus.Histogram
	writeDuration prometheus.Histogram
}

// newMetrics makes a store's metrics, and registers them if the store has a registerer.
func newMetrics(s *Store) (*metrics, error) {
	m := &metrics{registerer: s.registerer, flushes: make(map[string]prometheus.Counter)}
	var all []prometheus.Collector

	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "audit_" + name, Help: help})
		all = append(all, c)
		return c
	}
	m.accepted = counter("accepted_total", "Events that Record accepted.")
	m.stored = counter("stored_total", "Events that the sink acknowledged.")
	m.duplicates = counter("duplicates_total", "Acknowledged events that the sink had stored before.")
	m.rejected = counter("rejected_total", "Events that the sink rejected for good.")
	m.lost = counter("lost_total", "Events that will not be stored: pending when the store gave up, or damaged in the spool.")
	m.retries = counter("retries_total", "Failed batch writes that were, or will be, repeated.")
	m.spilled = counter("spilled_total", "Events put into the spool only, because memory was full or older ones were there.")
	m.recovered = counter("recovered_total", "Pending events that the spool had from an earlier process.")

	gauge := func(name, help string, value func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "audit_" + name, Help: help}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return value()
		}))
	}
	gauge("pending_events", "Events accepted, neither stored nor rejected yet.", func() float64 { return float64(s.pending()) })
	gauge("pending_bytes", "Size of the pending events, in memory or in the spool.", func() float64 { return float64(s.queue.Bytes() + s.backlog.Bytes) })
	gauge("spilled_events", "Pending events that are in the spool only.", func() float64 { return float64(s.backlog.Events) })
	gauge("batches_in_flight", "Batches that are being written.", func() float64 { return float64(s.window.InFlight()) })
	gauge("oldest_pending_age_seconds", "How long the oldest pending event has waited.", s.oldestPendingAge)
	gauge("unacknowledged_events", "Rejected and lost events that nobody acknowledged.", func() float64 {
		return float64(s.rejected.Count() + s.lost.Count())
	})
	gauge("unacknowledged_lost_events", "Lost events that nobody acknowledged.", func() float64 { return float64(s.lost.Count()) })
	gauge("sink_up", "0 while the last write failed, else 1.", func() float64 {
		if s.health.WriteErr() != nil {
			return 0
		}
		return 1
	})

	gauge("batch_limit_bytes", "Size of a batch that the way to the sink is known to take, 0 if no limit is known.", func() float64 {
		return float64(s.window.Limit())
	})
	all = append(all, &stalledCollector{store: s})
	all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "audit_spool_bytes", Help: "Size of the spool on disk."}, s.spoolBytes))
	gauge("spool_max_bytes", "Bound of the spool on disk.", s.spoolMaxBytes())
	gauge("spool_up", "0 while the spool, or its quarantine, is full or fails, else 1.", s.spoolUp)
	m.refusedBy = newRefusedCounter()
	all = append(all, m.refusedBy)

	flushes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "audit_flushes_total", Help: "Flushes by result: stored, rejected, lost, pending.",
	}, []string{"result"})
	for _, result := range []string{resultStored, resultRejected, resultLost, resultPending} {
		m.flushes[result] = flushes.WithLabelValues(result)
	}

	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "audit_" + name, Help: help, Buckets: buckets})
		all = append(all, h)
		return h
	}
	m.flushDuration = histogram("flush_duration_seconds", "From the call of a flush to its answer.", prometheus.ExponentialBuckets(0.0001, 4, 10))
	m.batchEvents = histogram("batch_events", "Events of a batch write.", []float64{1, 10, 100, 500, 1000, 5000, 10000})
	m.groupEvents = histogram("spool_group_events", "Events that shared an fsync of the spool.", []float64{1, 2, 5, 10, 20, 50, 100, 500, 1000})
	m.spoolDuration = histogram("spool_append_duration_seconds", "Duration of an append to the spool, with its fsync.", prometheus.ExponentialBuckets(0.0001, 2.5, 11))
	m.writeDuration = histogram("write_duration_seconds", "Duration of a batch write.", prometheus.ExponentialBuckets(0.001, 2.5, 11))

	return m, m.register(append(all, flushes))
}

// register registers all or none.
func (m *metrics) register(all []prometheus.Collector) error {
	if m.registerer == nil {
		return nil
	}
	for _, c := range all {
		if err := m.registerer.Register(c); err != nil {
			m.unregister()
			return fmt.Errorf("audit store: register metrics: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

// unregister lets another store register its metrics.
func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
	m.registered = nil
}

// flushed counts a flush by the worst that it reports.
func (m *metrics) flushed(e *FlushError, took time.Duration) {
	result := resultStored
	switch {
	case e == nil:
	case e.Pending > 0:
		result = resultPending
	case e.lost() > 0:
		result = resultLost
	default:
		result = resultRejected
	}
	m.flushes[result].Inc()
	m.flushDuration.Observe(took.Seconds())
}

// wrote observes one call of the sink.
func (m *metrics) wrote(events int, took time.Duration) {
	m.batchEvents.Observe(float64(events))
	m.writeDuration.Observe(took.Seconds())
}

// spooled observes one append to the spool.
func (m *metrics) spooled(events int, took time.Duration) {
	m.groupEvents.Observe(float64(events))
	m.spoolDuration.Observe(took.Seconds())
}

// spoolBytes is the size of the spool on its medium. Called without the lock: the spool has its own.
func (s *Store) spoolBytes() float64 {
	if s.spool == nil {
		return 0
	}
	return float64(s.spool.State().Bytes)
}

// spoolMaxBytes returns the bound of the spool, which does not change.
func (s *Store) spoolMaxBytes() func() float64 {
	maxBytes := 0.0
	if s.spool != nil {
		maxBytes = float64(s.spool.State().MaxBytes)
	}
	return func() float64 { return maxBytes }
}

// spoolUp is 1 while the spool works. Called with the lock.
func (s *Store) spoolUp() float64 {
	if s.disk.err() != nil {
		return 0
	}
	return 1
}

// oldestPendingAge is in seconds. Called with the lock.
func (s *Store) oldestPendingAge() float64 {
	var acceptedAt int64
	switch oldest := s.queue.Oldest(); {
	case oldest != nil:
		acceptedAt = oldest.AcceptedAt
	case s.backlog.Events > 0:
		acceptedAt = s.backlog.Since
	default:
		return 0
	}
	return time.Duration(s.since(s.clock.Now()) - acceptedAt).Seconds()
}
