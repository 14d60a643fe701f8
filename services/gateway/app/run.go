package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"k8s.io/client-go/tools/events"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/services/gateway/internal/duplicates"
	"kubernaut.ai/services/gateway/internal/quota"
	"kubernaut.ai/services/gateway/internal/target"
)

// The shares of the grace period, in percent, that are reserved for parts that
// stop late. The API, which stops first, has the rest.
const (
	counterShare    = 20
	duplicatesShare = 10
	reportShare     = 5
	storeShare      = 30
	managementShare = 10
)

var errNotSynced = errors.New("the cache of requests is not synced")

// Run serves until ctx ends. Then it finishes the requests under way, writes
// the counts, flushes the audit store, closes the management port and returns
// nil. The error says what could not be started, what ended by itself, or what
// was lost at the end; events that are in the spool are not lost.
func (a *App) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, lifecycle.Options{Grace: a.options.Grace, Log: a.log}, a.start) //nolint:wrapcheck // names the part
}

// gateway is one run of an App.
type gateway struct {
	*App

	group    *lifecycle.Group
	registry *prometheus.Registry
	ports    *httpserver.Ports
	store    *audit.Store
	// duplicates are those that are recorded together.
	duplicates *duplicates.Log
	cluster    *cluster
	targets    *target.Resolver
	quota      *quota.Quota
	events     events.EventRecorder
}

// start adds the parts. They stop in reverse: the API finishes its requests,
// the counter writes, the audit store is flushed, and the management port
// answers to the end.
func (a *App) start(ctx context.Context, group *lifecycle.Group) error {
	g := &gateway{App: a, group: group, registry: prometheus.NewRegistry()}
	if err := g.registerMetrics(); err != nil {
		return err
	}
	group.Add(ctx, g.tracing.Part())
	var err error
	if g.cluster, err = g.connect(); err != nil {
		return err
	}
	g.events = g.cluster.recordEvents(ctx)
	g.ports, err = httpserver.Open(ctx, httpserver.Addresses{
		API: a.options.Listen, Management: a.options.ManagementListen, Control: a.options.ControlListen, Profiles: a.options.PprofListen,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	group.Add(ctx, g.ports.Part())
	if err := g.openStore(); err != nil {
		return err
	}
	g.serveManagement(ctx)
	group.Add(ctx, lifecycle.Part{Name: "audit store", Share: storeShare, Run: lifecycle.OnStop(g.closeStore)})
	if err := g.startCache(ctx); err != nil {
		return err
	}
	if err := g.startTargets(ctx); err != nil {
		return err
	}
	if err := g.serveAPI(ctx); err != nil {
		return err
	}
	close(a.ready)
	a.log.Info("ready", zap.String("api", a.apiURL), zap.String("management", a.managementURL),
		zap.String("api_server", g.cluster.address))
	return nil
}

// registerMetrics registers what does not belong to a part that registers its
// own.
func (g *gateway) registerMetrics() error {
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildinfo.Collector(),
	}
	// What other services have too gets this one's prefix.
	shared := []prometheus.Collector{g.auth}
	if g.tls != nil {
		shared = append(shared, g.tls)
	}
	if file := g.options.DataStorageCAFile; file != "" {
		shared = append(shared, tlsfiles.NewAuthorities("datastorage", file, g.options.Clock, g.log))
	}
	for registerer, collectors := range map[prometheus.Registerer][]prometheus.Collector{
		g.registry: all, prometheus.WrapRegistererWithPrefix("gateway_", g.registry): shared,
	} {
		for _, c := range collectors {
			if err := registerer.Register(c); err != nil {
				return fmt.Errorf("register metrics: %w", err)
			}
		}
	}
	return g.tracing.Register(g.registry) //nolint:wrapcheck // says what
}

// openStore makes the audit store, and the log of duplicates in front of it.
func (g *gateway) openStore() error {
	store, err := g.options.Spool.NewStore(g.sink, g.log.Named("audit"),
		audit.WithClock(g.options.Clock),
		audit.WithRegisterer(g.registry),
		audit.WithTracer(g.tracing.Tracer("audit")),
		// The senders of signals try again: an error now is better than a long wait.
		audit.WithFullPolicy(audit.Refuse),
	)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	g.store = store
	g.duplicates, err = duplicates.New(duplicates.Options{
		Recorder: store, Clock: g.options.Clock, Log: g.log, Capacity: duplicates.DefaultCapacity, Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("log of duplicates: %w", err)
	}
	return nil
}

// flusher flushes the duplicates that are recorded together, and then the store,
// so that a flush covers every signal that was answered.
type flusher struct {
	*audit.Store

	duplicates *duplicates.Log
}

// Flush implements flushhttp.Flusher.
func (f flusher) Flush(ctx context.Context) (audit.Receipt, error) {
	if err := f.duplicates.Flush(ctx); err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // says what was recorded
	}
	return f.Store.Flush(ctx) //nolint:wrapcheck // the handler knows the types
}

// FlushFor implements flushhttp.Flusher.
func (f flusher) FlushFor(ctx context.Context, correlationID string) (audit.Receipt, error) {
	if err := f.duplicates.Flush(ctx); err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // says what was recorded
	}
	return f.Store.FlushFor(ctx, correlationID) //nolint:wrapcheck // the handler knows the types
}

// closeStore flushes and closes the audit store. It runs after everything that
// records has stopped, and before the management server has, so that external
// flushes still work.
func (g *gateway) closeStore(ctx context.Context) error {
	defer g.sink.CloseIdleConnections()
	return spool.Close(ctx, g.store) //nolint:wrapcheck // says what it did
}

// serveManagement serves the management port, which answers before the Gateway
// is ready.
func (g *gateway) serveManagement(ctx context.Context) {
	g.managementURL = httpserver.URL(g.ports.Management, nil)
	handler := &httpserver.Management{
		Ready: []httpserver.Check{
			{Name: "kubernetes", Func: g.cluster.reachable},
			{Name: "cache", Func: g.synced},
			httpserver.NotStopping(g.group),
		},
		Metrics: g.registry,
		Flush:   flushhttp.Handler(flusher{g.store, g.duplicates}),
		Log:     g.log,
	}
	for _, part := range httpserver.ManagementParts(g.ports, handler.Handler(), managementShare, g.log) {
		g.group.Add(ctx, part)
	}
	if g.ports.Control != nil {
		g.controlURL = httpserver.URL(g.ports.Control, nil)
	}
	settling := control.Handler(control.Options{Store: g.store, Records: g.sink, Log: auditclient.Logger(g.log)})
	for _, part := range httpserver.ControlParts(g.ports, settling, g.log) {
		g.group.Add(ctx, part)
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

// startCache waits for the API server and starts the cache of requests.
func (g *gateway) startCache(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.options.StartupTimeout)
	defer cancel()
	wait := kube.Wait{
		Host: g.cluster.address, Timeout: g.options.StartupTimeout, Check: g.cluster.reachable, Log: g.log,
		NotFound: fmt.Sprintf("namespace %s does not exist: create it or choose another with --namespace", g.options.Namespace),
	}
	if err := wait.Until(ctx); err != nil {
		return err //nolint:wrapcheck // says where and what to do
	}
	if err := g.index(ctx); err != nil {
		return err
	}
	if err := g.countRequests(ctx); err != nil {
		return err
	}
	g.group.Add(ctx, lifecycle.Part{Name: "cache of requests", Run: lifecycle.Simple(g.cluster.requests.Start)})
	return g.sync(ctx, g.cluster)
}
