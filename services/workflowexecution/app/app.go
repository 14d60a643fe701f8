package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/pkg/audit/httpsink"
)

const program = "kubernaut-workflowexecution"

// The shares of the grace period, in percent, that are reserved for parts that
// stop late. The controllers, which stop first, have the rest.
const (
	storeShare      = 30
	managementShare = 10
	// controllersShare is what the controllers may use, less than the rest so
	// that they also give up their leadership in time.
	controllersShare = 55
)

var errCachesNotSynced = errors.New("the caches are not synced")

// App is one WorkflowExecution service. Its methods are safe for concurrent
// use; Run may be called once.
type App struct {
	options  Options
	rest     *rest.Config
	sink     *httpsink.Sink
	tracing  *telemetry.Tracing
	registry *prometheus.Registry

	ready         chan struct{}
	managementURL string // written by Run before ready is closed
	controlURL    string // likewise; empty if closed
}

// New checks the options and makes an App. It does not use the network. An
// unusable option is a *cli.UsageError that names the flag.
func New(o Options) (*App, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	config, err := kube.Config(o.RESTConfig, o.Kubeconfig, buildinfo.UserAgent(program))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	storage, err := sink.New(sink.Options{
		URL: o.DataStorageURL, TokenFile: o.DataStorageTokenFile, CAFile: o.DataStorageCAFile,
		UserAgent: buildinfo.UserAgent(program), Log: o.Log,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	tracing, err := o.Tracing.New(context.Background(), program, o.Log)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return &App{
		options:  o,
		rest:     tracing.Cluster(config),
		sink:     storage,
		tracing:  tracing,
		registry: prometheus.NewRegistry(),
		ready:    make(chan struct{}),
	}, nil
}

// Ready is closed once the service serves: its management port answers and its
// caches are synced.
func (a *App) Ready() <-chan struct{} { return a.ready }

// ManagementURL is the address of probes, metrics and audit flush, valid once
// Ready is closed.
func (a *App) ManagementURL() string { return a.managementURL }

// ControlURL is the address of the control listener, empty if it is closed; valid
// once Ready is closed.
func (a *App) ControlURL() string { return a.controlURL }

// Run runs the service until ctx ends; then it finishes the steps under way,
// flushes the audit store and returns nil. The error says what could not be
// started, what ended by itself, or what was lost at the end; events that are in
// the spool are not lost.
func (a *App) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, lifecycle.Options{Grace: a.options.Grace, Log: a.options.Log}, a.start) //nolint:wrapcheck // names the part
}

// start adds the parts. They stop in reverse: the controllers finish their
// steps, the audit store that they record in is flushed, and the management
// port answers to the end.
func (a *App) start(ctx context.Context, g *lifecycle.Group) error {
	for _, c := range []prometheus.Collector{buildinfo.Collector(), a.options.plan()} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	if file := a.options.DataStorageCAFile; file != "" {
		prefixed := prometheus.WrapRegistererWithPrefix("workflowexecution_", a.registry)
		if err := prefixed.Register(tlsfiles.NewAuthorities("datastorage", file, a.options.Clock, a.options.Log)); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	if err := a.tracing.Register(a.registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	g.Add(ctx, a.tracing.Part())
	ports, err := httpserver.Open(ctx, httpserver.Addresses{
		Management: a.options.ManagementListen, Control: a.options.ControlListen, Profiles: a.options.PprofListen,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	g.Add(ctx, ports.Part())
	store, err := a.openStore()
	if err != nil {
		return err
	}
	c := newControllers(a, store)
	for _, part := range httpserver.ManagementParts(ports, a.management(store, c, g), managementShare, a.options.Log) {
		g.Add(ctx, part)
	}
	a.serveControl(ctx, g, ports, store)
	g.Add(ctx, lifecycle.Part{Name: "audit store", Share: storeShare, Run: lifecycle.OnStop(func(ctx context.Context) error {
		defer a.sink.CloseIdleConnections()
		return spool.Close(ctx, store)
	})})
	if err := c.loadPolicies(ctx); err != nil {
		return err
	}
	if err := kube.AwaitResources(ctx, a.rest, a.options.StartupTimeout, a.options.Log); err != nil {
		return err //nolint:wrapcheck // says where and what to do
	}
	if err := c.setUp(ctx); err != nil {
		return err
	}
	if err := c.policies.Start(ctx); err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	g.Add(ctx, lifecycle.Part{Name: "policies", Run: lifecycle.Simple(c.policies.Run)})
	g.Add(ctx, lifecycle.Part{Name: "controllers", Run: lifecycle.Simple(c.manager.Start)})
	if !c.manager.GetCache().WaitForCacheSync(ctx) {
		return errCachesNotSynced
	}
	a.managementURL = httpserver.URL(ports.Management, nil)
	close(a.ready)
	a.options.Log.Info("ready", zap.String("management", a.managementURL), zap.String("api_server", a.rest.Host))
	return nil
}

// serveControl serves the control listener, if it is open.
func (a *App) serveControl(ctx context.Context, g *lifecycle.Group, ports *httpserver.Ports, store *audit.Store) {
	if ports.Control != nil {
		a.controlURL = httpserver.URL(ports.Control, nil)
	}
	settling := control.Handler(control.Options{Store: store, Records: a.sink, Log: auditclient.Logger(a.options.Log)})
	for _, part := range httpserver.ControlParts(ports, settling, a.options.Log) {
		g.Add(ctx, part)
	}
}

func (a *App) openStore() (*audit.Store, error) {
	store, err := a.options.Spool.NewStore(a.sink, a.options.Log.Named("audit"),
		audit.WithClock(a.options.Clock),
		audit.WithRegisterer(a.registry),
		audit.WithTracer(a.tracing.Tracer("audit")),
		// A controller does not wait: it makes the step again later.
		audit.WithFullPolicy(audit.Refuse),
	)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return store, nil
}

// management is the handler of the management port. controller-runtime keeps
// its metrics (queues, API calls) in a registry of the process.
func (a *App) management(store *audit.Store, c *controllers, g *lifecycle.Group) http.Handler {
	return (&httpserver.Management{
		Ready:   []httpserver.Check{{Name: "caches", Func: c.synced}, httpserver.NotStopping(g)},
		Metrics: prometheus.Gatherers{a.registry, metrics.Registry},
		Flush:   flushhttp.Handler(store),
		Log:     a.options.Log,
	}).Handler()
}

// controllersGrace bounds how long the controllers finish their steps.
func (o *Options) controllersGrace() time.Duration { return o.Grace * controllersShare / 100 }
