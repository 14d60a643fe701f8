package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/webhook"
)

const sweepInterval = 6 * time.Hour

var errNotSynced = errors.New("the cache of requests is not synced")

// listeners are the ports of the Gateway; nil where one is not open.
type listeners struct {
	api, management, profiles net.Listener
}

func (l *listeners) all() []net.Listener {
	return slices.DeleteFunc([]net.Listener{l.api, l.management, l.profiles}, func(one net.Listener) bool { return one == nil })
}

// listen opens the ports; nobody serves them yet.
func (g *gateway) listen(ctx context.Context) error {
	for _, port := range []struct {
		listener      *net.Listener
		flag, address string
	}{
		{&g.listeners.api, "listen", g.options.Listen},
		{&g.listeners.management, "management-listen", g.options.ManagementListen},
		{&g.listeners.profiles, "pprof-listen", g.options.PprofListen},
	} {
		if port.address == "" {
			continue
		}
		opened, err := httpserver.Listen(ctx, port.flag, port.address)
		if err != nil {
			return err //nolint:wrapcheck // names the flag
		}
		*port.listener = opened
	}
	return nil
}

// serveManagement serves the management port, and the one for profiles if
// there is to be one. Both answer before the Gateway is ready, and until its end.
func (g *gateway) serveManagement(ctx context.Context) {
	g.managementURL = "http://" + g.listeners.management.Addr().String()
	handler := &httpserver.Management{
		Ready: []httpserver.Check{
			{Name: "kubernetes", Func: g.cluster.reachable},
			{Name: "cache", Func: g.synced},
		},
		Metrics: g.registry,
		Flush:   flushhttp.Handler(g.store),
		Log:     g.log,
	}
	g.serve(ctx, &httpserver.Server{Name: "management", Listener: g.listeners.management, Handler: handler.Handler(), Grace: g.share(1) / 2})
	if g.listeners.profiles != nil {
		g.serve(ctx, &httpserver.Server{Name: "profiles", Listener: g.listeners.profiles, Handler: httpserver.PprofHandler(), Grace: g.share(1) / 2})
	}
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
	if err := g.registry.Register(g.auth); err != nil {
		return fmt.Errorf("register metrics of the callers: %w", err)
	}
	opener := dedup.NewOpener(dedup.Options{
		Cache:     g.cluster.requests,
		Client:    g.cluster.client,
		Clock:     g.options.Clock,
		Namespace: g.options.Namespace,
		Watched:   g.options.WatchNamespaces,
		CoolDown:  g.options.CoolDown,
	})
	handler, err := webhook.New(webhook.Options{
		Opener:        opener,
		Owners:        target.NewResolver(g.cluster.client, g.options.Clock),
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
	g.run(ctx, "counter", func(ctx context.Context) error { return counter.Run(ctx, g.countsGrace) })
	g.apiURL = httpserver.URL(g.listeners.api, g.tls)
	g.serve(ctx, &httpserver.Server{Name: "API", Listener: g.listeners.api, Handler: handler, TLS: g.tls, Grace: g.share(4)})
	return nil
}

// sweep deletes old leases at the start and then every sweepInterval, until ctx
// ends. A failed sweep is repeated at the next interval.
func (g *gateway) sweep(ctx context.Context, opener *dedup.Opener) {
	for {
		swept, err := opener.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.log.Warn("could not delete old leases", zap.Error(err))
		case swept > 0:
			g.log.Info("deleted old leases", zap.Int("leases", swept))
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

func (g *gateway) serve(ctx context.Context, server *httpserver.Server) {
	server.Log = g.log
	g.run(ctx, server.Name, server.Run)
}
