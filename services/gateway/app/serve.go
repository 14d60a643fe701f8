package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/service"
	"kubernaut.ai/services/gateway/intake"
	"kubernaut.ai/services/gateway/occurrence"
	"kubernaut.ai/services/gateway/owner"
	"kubernaut.ai/services/gateway/request"
)

const sweepInterval = 6 * time.Hour

var errNotSynced = errors.New("the cache of requests is not synced")

// serveManagement opens the management port, and the one for profiles if
// there is to be one. Both answer before the Gateway is ready.
func (g *gateway) serveManagement(ctx context.Context) error {
	management, err := g.listen(ctx, "management-listen", g.options.ManagementListen)
	if err != nil {
		return err
	}
	g.managementURL = "http://" + management.Addr().String()
	handler := &service.Management{
		Ready: []service.Check{
			{Name: "kubernetes", Func: g.cluster.reachable},
			{Name: "cache", Func: g.synced},
		},
		Metrics: g.registry,
		Flush:   audit.FlushHandler(g.store),
		Log:     g.log,
	}
	g.serve(ctx, "management", management, handler.Handler())
	if g.options.PprofListen == "" {
		return nil
	}
	profiles, err := g.listen(ctx, "pprof-listen", g.options.PprofListen)
	if err != nil {
		return err
	}
	g.serve(ctx, "profiles", profiles, service.PprofHandler())
	return nil
}

func (g *gateway) synced(context.Context) error {
	select {
	case <-g.ready:
		return nil
	default:
		return errNotSynced
	}
}

func (g *gateway) index(ctx context.Context) error {
	if err := request.AddIndexes(ctx, g.cluster.requests); err != nil {
		return fmt.Errorf("kubernetes API server %s: %w (are the custom resource definitions installed?)", g.cluster.address, err)
	}
	return nil
}

// serveAPI starts the counter and opens the API.
func (g *gateway) serveAPI(ctx context.Context, listener net.Listener) error {
	counter := occurrence.NewCounter(occurrence.NewStatusWriter(g.cluster.client), g.options.Clock, g.log, occurrence.DefaultCapacity)
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_counts_pending", Help: "Requests whose latest occurrences are not in their status yet.",
	}, func() float64 { return float64(counter.Pending()) })
	if err := g.registry.Register(pending); err != nil {
		return fmt.Errorf("register metrics of the counter: %w", err)
	}
	opener := request.NewOpener(request.Options{
		Cache:     g.cluster.requests,
		Client:    g.cluster.client,
		Clock:     g.options.Clock,
		Namespace: g.options.Namespace,
		Watched:   g.options.WatchNamespaces,
		CoolDown:  g.options.CoolDown,
	})
	handler, err := intake.New(intake.Options{
		Opener:        opener,
		Owners:        owner.NewResolver(g.cluster.client, g.options.Clock),
		Counter:       counter,
		Recorder:      g.store,
		Auth:          g.auth,
		Cluster:       g.options.ClusterName,
		MaxBodyBytes:  g.options.MaxBodyBytes,
		MaxConcurrent: g.options.MaxConcurrent,
		Timeout:       g.options.RequestTimeout,
		NewID:         uuid.NewString,
		Clock:         g.options.Clock,
		Log:           g.log,
		Registerer:    g.registry,
	})
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	g.run(ctx, "sweeper", func(ctx context.Context) error {
		g.sweep(ctx, opener)
		return nil
	})
	g.run(ctx, "counter", func(ctx context.Context) error { return counter.Run(ctx, g.share(1)) })
	g.apiURL = "http://" + listener.Addr().String()
	g.serve(ctx, "API", listener, handler)
	return nil
}

// sweep deletes old registers, at the start and then now and then, until ctx
// ends. What fails is tried again the next time.
func (g *gateway) sweep(ctx context.Context, opener *request.Opener) {
	for {
		swept, err := opener.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.log.Warn("old registers not swept", zap.Error(err))
		case swept > 0:
			g.log.Info("old registers swept", zap.Int("registers", swept))
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

func (g *gateway) serve(ctx context.Context, name string, l net.Listener, handler http.Handler) {
	server := &service.Server{Name: name, Listener: l, Handler: handler, Grace: g.share(2), Log: g.log}
	g.run(ctx, name, server.Run)
}
