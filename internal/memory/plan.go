package memory

import (
	"fmt"
	"math"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/internal/cli"
)

// Limit is the memory that the runtime may use (GOMEMLIMIT), or otherwise if it
// has no limit.
func Limit(otherwise int64) int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return otherwise
}

// DeclareLimit declares --memory-limit. The default without a GOMEMLIMIT is that
// of the deployment.
func DeclareLimit(flags *cli.Flags, limit *int64, deployed int64) {
	flags.Int64(limit, "memory-limit", 0, "memory of the process in bytes, into which its bounds have to fit",
		cli.Derived(fmt.Sprintf("GOMEMLIMIT, or %d MiB without it", deployed>>20), func() int64 { return Limit(deployed) }))
}

// Rest is the part of the limit that belongs to no use: the program itself, its
// connections, and garbage that was not collected yet.
func Rest(limit int64) int64 { return limit / 5 } //nolint:mnd // a fifth

// Use is something that takes memory up to a bound.
type Use struct {
	// Name of the use, for metrics.
	Name string
	// Flags that the bound follows from, as in "--max-body-memory".
	Flags string
	// Bytes is the bound.
	Bytes int64
	// Used is what is in use; nil if nobody knows.
	Used func() int64
	// Budget, if the use has one.
	Budget *Budget
}

// Plan divides the memory of a process.
type Plan struct {
	Limit int64
	Uses  []Use
}

// Check returns a *cli.UsageError that names the flags if the uses do not fit
// into the limit.
func (p *Plan) Check() error {
	sum := Rest(p.Limit)
	parts := make([]string, 0, 1+len(p.Uses))
	parts = append(parts, fmt.Sprintf("%d MiB for the program", sum>>20))
	for _, u := range p.Uses {
		sum += u.Bytes
		parts = append(parts, fmt.Sprintf("%d MiB for %s (%s)", u.Bytes>>20, u.Name, u.Flags))
	}
	if sum <= p.Limit {
		return nil
	}
	return cli.Usagef("--memory-limit %d: %d MiB are too little for %s: raise GOMEMLIMIT with the container's limit, or lower these flags",
		p.Limit, p.Limit>>20, strings.Join(parts, ", "))
}

// labelUse is the label with the name of a use.
const labelUse = "use"

var (
	limitDesc   = prometheus.NewDesc("kubernaut_memory_limit_bytes", "Memory into which the bounds of the process have to fit.", nil, nil)
	boundDesc   = prometheus.NewDesc("kubernaut_memory_bound_bytes", "Bound on the memory of a use.", []string{labelUse}, nil)
	usedDesc    = prometheus.NewDesc("kubernaut_memory_used_bytes", "Memory that is charged to a use.", []string{labelUse}, nil)
	waitsDesc   = prometheus.NewDesc("kubernaut_memory_waits_total", "How often a request waited for memory of a use.", []string{labelUse}, nil)
	refusedDesc = prometheus.NewDesc("kubernaut_memory_refused_total", "Requests that were refused with 503 because they got no memory of a use.", []string{labelUse}, nil)
)

// Describe implements prometheus.Collector.
func (*Plan) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{limitDesc, boundDesc, usedDesc, waitsDesc, refusedDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Plan) Collect(to chan<- prometheus.Metric) {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	to <- prometheus.MustNewConstMetric(limitDesc, gauge, float64(p.Limit))
	for _, u := range p.Uses {
		to <- prometheus.MustNewConstMetric(boundDesc, gauge, float64(u.Bytes), u.Name)
		if u.Used != nil {
			to <- prometheus.MustNewConstMetric(usedDesc, gauge, float64(u.Used()), u.Name)
		}
		if u.Budget != nil {
			waits, refused := u.Budget.Waits()
			to <- prometheus.MustNewConstMetric(usedDesc, gauge, float64(u.Budget.Used()), u.Name)
			to <- prometheus.MustNewConstMetric(waitsDesc, counter, float64(waits), u.Name)
			to <- prometheus.MustNewConstMetric(refusedDesc, counter, float64(refused), u.Name)
		}
	}
}
