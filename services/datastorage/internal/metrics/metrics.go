// Package metrics counts what DataStorage does, under the prefix datastorage_.
package metrics

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
)

const (
	namespace = "datastorage"
	// From 250 microseconds to 8 seconds.
	firstLatency, latencyFactor, latencies = 0.00025, 2, 16
	// From 1 to 16,384 events.
	batchFactor, batches = 4, 8
)

// Metrics of one DataStorage, in a registry of their own.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	events    *prometheus.CounterVec
	created   prometheus.Counter // of events
	duplicate prometheus.Counter // of events
	stored    prometheus.Counter // of requests
	rejects   *prometheus.CounterVec
	retries   prometheus.Counter
	claimed   prometheus.Counter
	batch     prometheus.Histogram
	commit    prometheus.Histogram
	queueWait prometheus.Histogram
	queries   *prometheus.HistogramVec
	skewed    *perRecorder
	strays    *perRecorder
}

// New makes the metrics, with those of the process and of the database.
func New(db *database.Pools) *Metrics {
	latency := prometheus.ExponentialBuckets(firstLatency, latencyFactor, latencies)
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Name: name, Help: help}
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("ingest_requests_total", "Requests that brought events, by the status of their answer.", "status"),
		events:   counter("ingest_events_total", "Events that were stored (created) or had been before (duplicate).", "result"),
		rejects:  counter("ingest_rejected_events_total", "Events that were refused, by reason.", "reason"),
		retries:  prometheus.NewCounter(prometheus.CounterOpts(opts("ingest_retries_total", "Transactions run again after a serialization failure."))),
		claimed: prometheus.NewCounter(prometheus.CounterOpts(opts("ingest_claimed_ids_total",
			"Events that were stored under a second id, because another event has theirs."))),
		batch: prometheus.NewHistogram(histogram("ingest_batch_events", "Events in one transaction.",
			prometheus.ExponentialBuckets(1, batchFactor, batches))),
		commit:    prometheus.NewHistogram(histogram("ingest_commit_seconds", "Time of one transaction, to its commit.", latency)),
		queueWait: prometheus.NewHistogram(histogram("ingest_queue_wait_seconds", "Time that a request waited for a writer.", latency)),
		queries:   prometheus.NewHistogramVec(histogram("query_seconds", "Time of a query, by kind and status of the answer.", latency), []string{"kind", "status"}),
	}
	m.skewed = newPerRecorder(opts("ingest_skewed_events_total", "Events whose time was more than five minutes ahead of their receipt, by recorder."))
	m.strays = newPerRecorder(opts("ingest_stray_events_total", "Events with an id of a month that has no partition in advance, by recorder."))
	m.registry.MustRegister(m.skewed, m.strays)
	m.registry.MustRegister(m.requests, m.events, m.rejects, m.retries, m.claimed, m.batch, m.commit, m.queueWait, m.queries,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.database(db)
	// So that a rate has its zero before the first event.
	m.created, m.duplicate = m.events.WithLabelValues("created"), m.events.WithLabelValues("duplicate")
	m.stored = m.requests.WithLabelValues(strconv.Itoa(http.StatusCreated))
	for _, reason := range []event.Code{event.CodeInvalid, event.CodeConflict, event.CodeTooLarge, event.CodeForbidden} {
		m.rejects.WithLabelValues(string(reason))
	}
	return m
}

// Register adds what another part counts.
func (m *Metrics) Register(c prometheus.Collector) error {
	if err := m.registry.Register(c); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// RegisterShared adds what a part counts that other services have too, under the
// prefix of this one.
func (m *Metrics) RegisterShared(c prometheus.Collector) error {
	if err := prometheus.WrapRegistererWithPrefix(namespace+"_", m.registry).Register(c); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// RegisterAs is Register with a prefix before the names of the metrics.
func (m *Metrics) RegisterAs(prefix string, c prometheus.Collector) error {
	if err := prometheus.WrapRegistererWithPrefix(prefix, m.registry).Register(c); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Registerer is for a part that registers and unregisters by itself.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Gatherer returns everything that is counted.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Queue shows the number of events that wait for a writer, and its bound. Call it once.
func (m *Metrics) Queue(depth func() int, bound int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "ingest_queue_events", Help: "Events that wait for a writer.",
	}, func() float64 { return float64(depth()) }))
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "ingest_queue_events_limit", Help: "Bound on the events that wait for a writer.",
	})
	limit.Set(float64(bound))
	m.registry.MustRegister(limit)
}

// Ingested implements httpapi.Observer.
func (m *Metrics) Ingested(status, created, duplicates int, refused map[event.Code]int) {
	if status == http.StatusCreated {
		m.stored.Inc()
	} else {
		m.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	m.created.Add(float64(created))
	m.duplicate.Add(float64(duplicates))
	for code, n := range refused {
		m.rejects.WithLabelValues(string(code)).Add(float64(n))
	}
}

// Misdated implements httpapi.Observer.
func (m *Metrics) Misdated(recorder string, skewed, strays int) {
	m.skewed.add(recorder, skewed)
	m.strays.add(recorder, strays)
}

// Queried implements httpapi.Observer.
func (m *Metrics) Queried(kind string, status int, took time.Duration) {
	m.queries.WithLabelValues(kind, strconv.Itoa(status)).Observe(took.Seconds())
}

// Committed implements ingest.Metrics.
func (m *Metrics) Committed(events int, took time.Duration) {
	m.batch.Observe(float64(events))
	m.commit.Observe(took.Seconds())
}

// Waited implements ingest.Metrics.
func (m *Metrics) Waited(inQueue time.Duration) { m.queueWait.Observe(inQueue.Seconds()) }

// Retried implements ingest.Metrics.
func (m *Metrics) Retried() { m.retries.Inc() }

// Claimed implements ingest.Metrics.
func (m *Metrics) Claimed(events int) { m.claimed.Add(float64(events)) }
