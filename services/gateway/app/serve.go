package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/heartbeat"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/quota"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/webhook"
)

const sweepInterval = 6 * time.Hour

func (g *gateway) index(ctx context.Context) error {
	if err := dedup.AddIndexes(ctx, g.cluster.requests); err != nil {
		return fmt.Errorf("kubernetes API server %s: %w (are the custom resource definitions installed?)", g.cluster.address, err)
	}
	return nil
}

// serveAPI starts the counter and serves the API.
func (g *gateway) serveAPI(ctx context.Context) error {
	counter, err := occurrence.NewCounter(occurrence.Options{
		Writer: occurrence.NewStatusWriter(g.cluster.client), Clock: g.options.Clock, Log: g.log,
		Capacity: occurrence.DefaultCapacity, Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("occurrence counter: %w", err)
	}
	reporter := quota.NewReporter(quota.ReporterOptions{Report: g.reportExceedance, Clock: g.options.Clock, Log: g.log})
	opener := dedup.NewOpener(dedup.Options{
		Cache:     g.cluster.requests,
		Client:    g.cluster.client,
		Clock:     g.options.Clock,
		Random:    rand.Reader,
		Quota:     g.quota,
		Overflows: reporter,
		Namespace: g.options.Namespace,
		Cluster:   g.options.ClusterName,
		Watched:   g.options.WatchNamespaces,
		CoolDown:  g.options.CoolDown,
	})
	// The monitor reports losses through the API, which asks it about heartbeats.
	var api *webhook.Server
	heartbeats, err := heartbeat.New(heartbeat.Options{
		Expectations: g.options.expectations, Client: g.cluster.client, Namespace: g.options.Namespace,
		Path: func(ctx context.Context, id string, o *signal.Observation) (types.NamespacedName, error) {
			return api.Report(ctx, heartbeat.Source, id, o)
		},
		Trail: auditevents.NewHeartbeats(g.store), Clock: g.options.Clock, Log: g.log.Named("heartbeat"), Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("heartbeats: %w", err)
	}
	bodies, err := g.bodyMemory()
	if err != nil {
		return err
	}
	api, err = webhook.New(webhook.Options{
		Opener:        opener,
		Targets:       g.targets,
		Counter:       counter,
		Duplicates:    g.duplicates,
		Recorder:      g.store,
		Auth:          g.auth,
		Heartbeats:    heartbeats,
		Cluster:       g.options.ClusterName,
		Limits:        g.options.limits(),
		BodyMemory:    bodies,
		MaxConcurrent: g.options.MaxConcurrent,
		Timeout:       g.options.RequestTimeout,
		NewID:         uuid.NewString,
		Clock:         g.options.Clock,
		Log:           g.log,
		Registerer:    g.registry,
		Trace:         g.tracing.Server(program),
	})
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	g.group.Add(ctx, lifecycle.Part{Name: "sweeper", Run: lifecycle.Simple(func(ctx context.Context) error {
		g.sweep(ctx, opener)
		return nil
	})})
	g.group.Add(ctx, lifecycle.Part{Name: "log of duplicates", Share: duplicatesShare, Run: g.duplicates.Run})
	g.group.Add(ctx, lifecycle.Part{Name: "quota reports", Share: reportShare, Run: reporter.Run})
	g.group.Add(ctx, lifecycle.Part{Name: "counter", Share: counterShare, Run: counter.Run})
	g.group.Add(ctx, lifecycle.Part{Name: "heartbeats", Run: lifecycle.Simple(heartbeats.Run)})
	g.apiURL = httpserver.URL(g.ports.API, g.tls.Config())
	server := &httpserver.Server{Name: "API", Listener: g.ports.API, Handler: api, TLS: g.tls.Config(), Log: g.log}
	g.group.Add(ctx, server.Part(0))
	return g.watchEvents(ctx, api)
}

// bodyMemory makes the budget of bodies, and shows it.
func (g *gateway) bodyMemory() (*memory.Budget, error) {
	bodies := memory.NewBudget(g.options.MaxBodyMemory)
	bodies.Report("bodies", "--max-body-memory", g.log)
	if err := g.registry.Register(g.options.plan(bodies)); err != nil {
		return nil, fmt.Errorf("register metrics of the memory: %w", err)
	}
	return bodies, nil
}

// reportExceedance records that signals exceeded the quota, and tells those who
// look at the overflow request.
func (g *gateway) reportExceedance(ctx context.Context, x *quota.Exceedance) error {
	if err := auditevents.RecordQuotaExceeded(ctx, g.store, x); err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	g.events.Eventf(x.Overflow, nil, corev1.EventTypeWarning, "QuotaExceeded", "AddToOverflow",
		"%d signals got no request of their own: %s", x.Signals, x.Why)
	return nil
}

// sweep deletes old leases and late requests at the start and then every
// sweepInterval, until ctx ends. A failed sweep is repeated at the next interval.
func (g *gateway) sweep(ctx context.Context, opener *dedup.Opener) {
	for {
		swept, err := opener.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.log.Warn("could not delete old leases and late requests", zap.Error(err))
		case swept != dedup.Swept{}:
			g.log.Info("deleted old leases and late requests", zap.Int("leases", swept.Leases), zap.Int("requests", swept.Late))
		}
		timer := g.options.Clock.NewTimer(sweepInterval)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
