package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/metrics"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

const userAgent = "kubernaut-datastorage"

// App is one DataStorage. Run may be called once.
type App struct {
	options  Options
	log      *zap.Logger
	database *pgxpool.Config
	auth     *auth.Gate
	tls      *tls.Config // nil for plain HTTP

	// Written by Run before it closes ready.
	apiURL, managementURL string
	ready                 chan struct{}
}

// New checks the options; what is wrong with them is a *cli.UsageError that
// names the flag. It does not go to the network.
func New(o Options) (*App, error) {
	o.complete()
	config, err := o.database().Parse()
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	a := &App{options: o, log: o.Log, database: config, ready: make(chan struct{})}
	if a.auth, err = o.Auth.NewGate(auth.Server{
		Flag: "listen", Address: o.Listen, Clock: o.Clock, Log: o.Log,
		Config: func() (*rest.Config, error) { return kube.Config(o.RESTConfig, o.Kubeconfig, userAgent) },
	}); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.tls, err = o.TLS.Config(o.Clock); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return a, nil
}

// Ready is closed once the service answers.
func (a *App) Ready() <-chan struct{} { return a.ready }

// APIURL is the address of the API, as in http://127.0.0.1:8080; call it after Ready.
func (a *App) APIURL() string { return a.apiURL }

// ManagementURL is the address of probes, metrics and flush; call it after Ready.
func (a *App) ManagementURL() string { return a.managementURL }

// Run serves until ctx ends. Then it finishes the requests under way and
// returns nil; the error says what could not be started, or ended by itself.
func (a *App) Run(ctx context.Context) error {
	pool, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, err := a.newServing(pool)
	if err != nil {
		return err
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	a.apiURL = httpserver.URL(s.api, a.tls)
	a.managementURL = httpserver.URL(s.management, nil)
	return s.run(ctx, func() {
		close(a.ready)
		a.log.Info("serving", zap.String("api", a.apiURL), zap.String("management", a.managementURL))
	})
}

// open connects to a database that has this program's schema.
func (a *App) open(ctx context.Context) (*pgxpool.Pool, error) {
	starting, cancel := context.WithTimeout(ctx, a.options.StartupTimeout)
	defer cancel()
	pool, err := database.Open(starting, a.database, a.options.IdleConnections, database.Wait{
		Clock: a.options.Clock,
		Said:  func(reason error) { a.log.Info("waiting for the database", zap.Error(reason)) },
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	status, err := schema.Read(starting, pool)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("start: %w", database.Explain(a.database.ConnConfig, err))
	}
	a.ensurePartitions(starting, pool)
	return pool, nil
}

// ensurePartitions makes room ahead of time. Without it the service works as
// well, so a failure is told and tried again a day later.
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
		a.log.Info("partitions are left to `datastorage migrate up`: this database user may not make them")
	default:
		a.log.Warn("partitions not made", zap.Error(err))
	}
}

// serving is a running service.
type serving struct {
	app                    *App
	pool                   *pgxpool.Pool
	writer                 *ingest.Writer
	apiHandler             http.Handler
	managementHandler      http.Handler
	api, management, pprof net.Listener
	// stopping ends readiness as soon as a stop is asked for.
	stopping atomic.Bool
}

func (a *App) newServing(pool *pgxpool.Pool) (*serving, error) {
	o := a.options
	s := &serving{app: a, pool: pool}
	observed := metrics.New(pool)
	if err := observed.Register(a.auth); err != nil {
		return nil, fmt.Errorf("callers: %w", err)
	}
	var err error
	s.writer, err = ingest.New(pool, ingest.Options{
		Writers: o.Writers, QueueEvents: o.QueueEvents, Clock: o.Clock, Metrics: observed,
	})
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	observed.QueueDepth(s.writer.Depth)
	limits := event.DefaultLimits()
	limits.Events, limits.DataBytes = o.MaxBatchEvents, o.MaxEventDataBytes
	s.apiHandler, err = httpapi.New(httpapi.Config{
		Decoder:   event.NewDecoder(limits, o.Clock, rand.Reader),
		Writer:    s.writer,
		Finder:    query.New(pool, o.Clock, consistency.NewGate(o.Clock, o.StandbyWait), o.QueryTimeout, o.MaxPageBytes),
		Auth:      a.auth,
		Observer:  observed,
		Log:       a.log,
		Clock:     o.Clock,
		Ready:     func(r *http.Request) error { return s.current(r.Context()) },
		BodyBytes: o.MaxBodyBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.managementHandler = (&httpserver.Management{
		Ready:   []httpserver.Check{{Name: "database", Func: s.current}, {Name: "serving", Func: s.accepting}},
		Metrics: observed.Gatherer(),
		Flush:   flushhttp.Handler(flusher{s.writer}),
		Log:     a.log,
	}).Handler()
	return s, nil
}

// current holds when the database is reachable and has this program's schema.
func (s *serving) current(ctx context.Context) error {
	status, err := schema.Read(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return status.Err() //nolint:wrapcheck // says all there is
}

func (s *serving) accepting(context.Context) error {
	if s.stopping.Load() {
		return errors.New("the service is stopping")
	}
	return nil
}
