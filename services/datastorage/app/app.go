package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/schema"
)

const program = "kubernaut-datastorage"

// App is one DataStorage. Run may be called once.
type App struct {
	options  Options
	log      *zap.Logger
	database *pgxpool.Config
	shares   database.Shares
	auth     *auth.Gate
	tls      *tlsfiles.Server // nil for plain HTTP
	tracing  *telemetry.Tracing
	people   *people // nil without --aggregated-listen

	// Written by Run before it closes ready.
	apiURL, managementURL, aggregatedURL, controlURL string
	ready                                            chan struct{}
}

// New checks the options; an unusable one is a *cli.UsageError that names the
// flag. It does not use the network.
func New(o Options) (*App, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	config, err := database.Parse(o.DatabaseURL)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	a := &App{options: o, log: o.Log, database: config, ready: make(chan struct{})}
	if a.shares, err = database.Split(o.MaxConnections, o.Writers); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.tracing, err = o.Tracing.New(context.Background(), program, o.Log); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	cluster := func() (*rest.Config, error) {
		config, err := kube.Config(o.RESTConfig, o.Kubeconfig, buildinfo.UserAgent(program))
		if err != nil {
			return nil, err //nolint:wrapcheck // names the flag
		}
		return a.tracing.Cluster(config), nil
	}
	if a.auth, err = o.Auth.NewGate(auth.Server{
		Flag: "listen", Address: o.Listen, Audience: Audience, Clock: o.Clock, Log: o.Log, Config: cluster,
	}); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.tls, err = o.TLS.NewServer("api", o.Clock, o.Log); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if o.AggregatedListen != "" {
		if a.people, err = newPeople(&o, cluster); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Ready is closed once the service answers.
func (a *App) Ready() <-chan struct{} { return a.ready }

// APIURL is the address of the API, as in http://127.0.0.1:8080; call it after Ready.
func (a *App) APIURL() string { return a.apiURL }

// ManagementURL is the address of probes, metrics and flush; call it after Ready.
func (a *App) ManagementURL() string { return a.managementURL }

// AggregatedURL is the address to which the API server forwards the requests of
// people, empty without one; call it after Ready.
func (a *App) AggregatedURL() string { return a.aggregatedURL }

// ControlURL is the address of the control listener, empty if it is closed; call
// it after Ready.
func (a *App) ControlURL() string { return a.controlURL }

// Run serves until ctx ends. Then it finishes the requests under way within the
// grace period and returns nil. The error says what could not be started, what
// ended by itself, or what could not be finished in time.
func (a *App) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, lifecycle.Options{Grace: a.options.Grace, Log: a.log}, a.start) //nolint:wrapcheck // names the part
}

// The shares of the grace period, in percent, that are reserved for parts that
// stop late. The API, which stops first, has the rest.
const (
	writerShare     = 30
	storeShare      = 15
	accessShare     = 5
	managementShare = 10
	poolShare       = 5
)

// start adds the parts. They stop in reverse: the API finishes its requests, the
// log of accesses records them, the audit store delivers while the writer is still
// there, and the management port answers to the end.
func (a *App) start(ctx context.Context, g *lifecycle.Group) error {
	g.Add(ctx, a.tracing.Part())
	pools, err := a.open(ctx)
	if err != nil {
		return err
	}
	g.Add(ctx, lifecycle.Part{Name: "database pools", Share: poolShare, Run: lifecycle.OnStop(func(context.Context) error {
		pools.Close()
		return nil
	})})
	g.Add(ctx, lifecycle.Part{Name: "database watch", Run: lifecycle.Simple(pools.Watch.Run)})
	ports, err := httpserver.Open(ctx, httpserver.Addresses{
		API: a.options.Listen, Management: a.options.ManagementListen, Profiles: a.options.PprofListen,
		Aggregated: a.options.AggregatedListen, Control: a.options.ControlListen,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	g.Add(ctx, ports.Part())
	s, err := a.newServing(pools, g)
	if err != nil {
		return err
	}
	for _, part := range httpserver.ManagementParts(ports, s.managementHandler, managementShare, a.log) {
		g.Add(ctx, part)
	}
	if ports.Control != nil {
		a.controlURL = httpserver.URL(ports.Control, nil)
	}
	for _, part := range httpserver.ControlParts(ports, s.controlHandler, a.log) {
		g.Add(ctx, part)
	}
	g.Add(ctx, lifecycle.Part{Name: "event schemas", Run: lifecycle.Simple(s.schemas.Run)})
	g.Add(ctx, lifecycle.Part{Name: "partitions", Run: lifecycle.Simple(s.partitions)})
	g.Add(ctx, lifecycle.Part{Name: "writer", Share: writerShare, Run: s.writer.Run})
	for _, part := range s.accessParts() {
		g.Add(ctx, part)
	}
	api := &httpserver.Server{Name: "API", Listener: ports.API, Handler: s.apiHandler, TLS: a.tls.Config(), Log: a.log}
	g.Add(ctx, api.Part(0))
	if a.people != nil {
		for _, part := range a.people.parts(ports.Aggregated, s.peopleHandler) {
			g.Add(ctx, part)
		}
		a.aggregatedURL = "https://" + ports.Aggregated.Addr().String()
	}
	a.apiURL = httpserver.URL(ports.API, a.tls.Config())
	a.managementURL = httpserver.URL(ports.Management, nil)
	close(a.ready)
	a.log.Info("ready", zap.String("api", a.apiURL), zap.String("management", a.managementURL), zap.String("aggregated", a.aggregatedURL))
	return nil
}

// open connects to a database that has this program's schema.
func (a *App) open(ctx context.Context) (*database.Pools, error) {
	starting, cancel := context.WithTimeout(ctx, a.options.StartupTimeout)
	defer cancel()
	pools, err := database.Open(starting, a.database, database.Options{
		QueryTimeout: a.options.QueryTimeout, Queries: a.tracing.Queries(), Shares: a.shares, Idle: a.options.IdleConnections, Log: a.log, Clock: a.options.Clock,
		Wait: lifecycle.Wait{
			Timeout: a.options.StartupTimeout,
			Report:  func(reason error) { a.log.Info("waiting for the database", zap.Error(reason)) },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	status, err := schema.Read(starting, pools.Probe)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		pools.Close()
		return nil, fmt.Errorf("start: %w", database.Explain(a.database.ConnConfig, err))
	}
	_ = pools.Watch.Check(starting) // a standby is in the log, and in the readiness
	a.ensurePartitions(starting, pools.Probe)
	return pools, nil
}

// ensurePartitions makes partitions for the months ahead. The service works
// without them too, so a failure is logged and tried again a day later.
func (a *App) ensurePartitions(ctx context.Context, pool *pgxpool.Pool) {
	report, err := schema.NewPartitions(pool).Ensure(ctx, a.options.Clock.Now())
	if len(report.Made) > 0 {
		a.log.Info("partitions made", zap.Strings("partitions", report.Made))
	}
	if len(report.Kept) > 0 {
		a.log.Info("partitions not made, because the default partition has events of their months", zap.Strings("partitions", report.Kept))
	}
	switch {
	case err == nil:
	case schema.IsForbidden(err):
		a.log.Info("partitions are left to `datastorage maintain`: this database user is not allowed to make them")
	default:
		a.log.Warn("partitions not made", zap.Error(err))
	}
}
