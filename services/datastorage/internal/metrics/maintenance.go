package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/services/datastorage/internal/maintain"
)

// Maintenance are the metrics of `datastorage maintain`.
type Maintenance struct {
	registry *prometheus.Registry
	runs     *prometheus.CounterVec
	duration prometheus.Histogram
	events   *prometheus.CounterVec
	// These have no series before the first run that tells them.
	success, months, until *prometheus.GaugeVec
	clock                  clock.PassiveClock
}

// NewMaintenance makes the metrics, with those of the process, of maintenance that runs every so often.
func NewMaintenance(c clock.PassiveClock, every time.Duration) *Maintenance {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: "maintenance", Name: name, Help: help}
	}
	const first, factor, buckets = 0.01, 4, 10 // to 44 minutes
	m := &Maintenance{
		clock:    c,
		registry: prometheus.NewRegistry(),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts(opts("runs_total", "Maintenance runs, by result: done, busy (another run was at work) or failed.")), []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "maintenance", Name: "run_seconds", Help: "Time of a maintenance run.",
			Buckets: prometheus.ExponentialBuckets(first, factor, buckets),
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts(opts("events_total",
			"Events that maintenance moved into a partition of their month (moved), gave a commitment or a batch (completed), counted for charts (counted), removed because their retention was over (expired), erased (erased), did not erase because they are held, were altered or are DataStorage's own (unerased), or did not find (missing).")),
			[]string{"work"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("last_success_timestamp_seconds", "When a whole run last ended without an error, in Unix seconds. It is missing until then.")), nil),
		months:  prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("partitions", "Months that have a partition.")), nil),
		until: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("partitions_until_timestamp_seconds",
			"Until when every month from now on has a partition, in Unix seconds.")), nil),
	}
	interval := prometheus.NewGauge(prometheus.GaugeOpts(opts("interval_seconds", "Time between two runs, as configured.")))
	interval.Set(every.Seconds())
	m.registry.MustRegister(m.runs, m.duration, m.events, m.success, m.months, m.until, interval, buildinfo.Collector(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"done", "busy", "failed"} {
		m.runs.WithLabelValues(result)
	}
	return m
}

// Gatherer returns everything that is counted.
func (m *Maintenance) Gatherer() prometheus.Gatherer { return m.registry }

// Ran counts a run. One that was not whole did only what somebody waits for, so that its success says nothing about the
// other work.
func (m *Maintenance) Ran(report maintain.Report, whole bool, err error, took time.Duration) {
	var expired int64
	for _, removed := range report.Removed {
		expired += removed.Removed
	}
	erased, unerased := report.ErasedAgain, report.HeldAgain
	for _, e := range report.Erasures {
		erased, unerased = erased+int64(e.Erased), unerased+int64(e.Held+e.Altered+e.Own)
	}
	for work, n := range map[string]int64{
		"erased": erased, "unerased": unerased,
		"moved": report.Moved, "completed": report.Completed, "counted": report.Counted, "missing": report.Uncounted, "expired": expired,
	} {
		m.events.WithLabelValues(work).Add(float64(n))
	}
	if report.Room.Months > 0 {
		m.months.WithLabelValues().Set(float64(report.Room.Months))
		m.until.WithLabelValues().Set(float64(report.Room.Until.Unix()))
	}
	switch {
	case errors.Is(err, maintain.ErrBusy):
		m.runs.WithLabelValues("busy").Inc() // the other run says whether it succeeds
		return
	case err != nil:
		m.runs.WithLabelValues("failed").Inc()
	default:
		m.runs.WithLabelValues("done").Inc()
		if whole {
			m.succeeded()
		}
	}
	m.duration.Observe(took.Seconds())
}

func (m *Maintenance) succeeded() {
	const second = float64(time.Second)
	m.success.WithLabelValues().Set(float64(m.clock.Now().UnixNano()) / second)
}
