package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxRecorders bounds the recorders that have a series; a deployment has a few.
	maxRecorders = 100
	// otherRecorders stands for those beyond the bound, and anonymousRecorder for
	// callers without a name.
	otherRecorders    = "(other)"
	anonymousRecorder = "(anonymous)"
)

// perRecorder counts events by who recorded them.
type perRecorder struct {
	*prometheus.CounterVec

	mu    sync.Mutex
	known map[string]bool // guarded by mu
}

func newPerRecorder(o prometheus.Opts) *perRecorder {
	return &perRecorder{CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts(o), []string{"recorder"}), known: map[string]bool{}}
}

func (c *perRecorder) add(recorder string, events int) {
	if events > 0 {
		c.WithLabelValues(c.label(recorder)).Add(float64(events))
	}
}

func (c *perRecorder) label(recorder string) string {
	if recorder == "" {
		recorder = anonymousRecorder
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known[recorder] {
		if len(c.known) >= maxRecorders {
			return otherRecorders
		}
		c.known[recorder] = true
	}
	return recorder
}
