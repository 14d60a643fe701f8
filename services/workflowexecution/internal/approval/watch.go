package approval

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
)

// watchEvery is the time between two looks at the admission policies.
const watchEvery = time.Minute

// Watch tells operators whether decisions count, also while no proposal waits for one.
type Watch struct {
	guard *Guard
	clock clock.WithTicker
	log   *zap.Logger
	// protected has no series before the first look.
	protected *prometheus.GaugeVec
	failing   bool // decisions do not count; only Run uses it
}

// NewWatch makes a Watch, and registers its metric.
func NewWatch(guard *Guard, c clock.WithTicker, log *zap.Logger, registerer prometheus.Registerer) (*Watch, error) {
	w := &Watch{guard: guard, clock: c, log: log, protected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "workflowexecution_decisions_protected",
		Help: "1 while the API server refuses forged decisions, 0 while it does not, so that no decision counts. The replica that leads has it.",
	}, nil)}
	if err := registerer.Register(w.protected); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return w, nil
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	ticker := w.clock.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look shows what the policies do. An API server that does not answer leaves the last answer in
// place: without it there are no decisions.
func (w *Watch) look(ctx context.Context) {
	_, why, err := w.guard.Snapshot(ctx)
	if err == nil && why == "" {
		why, err = w.guard.Probe(ctx)
	}
	if apierrors.IsForbidden(err) {
		why = err.Error() // what may not be read proves nothing
	} else if err != nil {
		return
	}
	switch failing := why != ""; {
	case failing && !w.failing:
		w.log.Warn("decisions do not count, because the API server may accept forged ones", zap.String("cause", why),
			zap.String("remedy", "apply deploy/kustomize/cluster and deploy/kustomize/workflows; open proposals wait meanwhile, or end as Invalidated"))
	case !failing && w.failing:
		w.log.Info("decisions count again")
	}
	w.failing = why != ""
	value := 1.0
	if w.failing {
		value = 0
	}
	w.protected.WithLabelValues().Set(value)
}
