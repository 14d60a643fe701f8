package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
)

// App is one SignalProcessing service. Its methods are safe for concurrent
// use; Run may be called once.
type App struct {
	options  Options
	rest     *rest.Config
	sink     *httpsink.Sink
	registry *prometheus.Registry

	ready         chan struct{}
	managementURL string // written by Run before ready is closed
}

// New checks the options and makes an App. It uses no network. The error is a
// *cli.UsageError that names the flag.
func New(o Options) (*App, error) {
	o.complete()
	if err := o.validate(); err != nil {
		return nil, err
	}
	config, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	storage, err := sink.New(sink.Options{
		URL: o.DataStorageURL, TokenFile: o.DataStorageTokenFile, CAFile: o.DataStorageCAFile, UserAgent: userAgent,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return &App{
		options:  o,
		rest:     config,
		sink:     storage,
		registry: prometheus.NewRegistry(),
		ready:    make(chan struct{}),
	}, nil
}

// Ready is closed once the service serves: its management port answers and it
// sees the cluster.
func (a *App) Ready() <-chan struct{} { return a.ready }

// ManagementURL is the address of probes, metrics and audit flush, valid once
// Ready is closed.
func (a *App) ManagementURL() string { return a.managementURL }

// Run runs the service until ctx ends; then it finishes the steps under way,
// flushes the audit store and returns nil. It returns an error when the
// service cannot start, when something that it needs breaks down for good, or
// when audit events were lost at the end: neither stored in time nor in the spool.
func (a *App) Run(ctx context.Context) error {
	if err := a.checkAPIServer(ctx); err != nil {
		return err
	}
	servers, err := a.listen(ctx)
	if err != nil {
		return err
	}
	defer servers.close()
	store, err := a.openStore()
	if err != nil {
		return err
	}
	controllers, err := a.newManager(ctx, store)
	if err != nil {
		return errors.Join(err, a.closeStore(ctx, store))
	}
	a.managementURL = "http://" + servers.management.Addr().String()
	return a.serve(ctx, controllers, store, servers)
}

// serve runs everything and stops it in order: first the controllers, then
// the audit store that they record in, last the servers, so that a flush from
// outside is answered to the end.
func (a *App) serve(ctx context.Context, controllers manager.Manager, store *audit.Store, servers *servers) error {
	work, stopWork := context.WithCancel(ctx)
	defer stopWork()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	served := make(chan error, 1)
	go func() {
		err := servers.run(serving, a.management(store), a.share(1), a.options.Log)
		stopWork()
		served <- err
	}()
	go a.announce(work, controllers)

	err := controllers.Start(work)
	if err != nil {
		err = fmt.Errorf("controllers: %w", err)
	}
	a.options.Log.Info("stopping")
	closeErr := a.closeStore(ctx, store)
	stopServing()
	return errors.Join(err, closeErr, <-served)
}

// announce closes ready once the caches are filled.
func (a *App) announce(ctx context.Context, controllers manager.Manager) {
	if controllers.GetCache().WaitForCacheSync(ctx) {
		a.options.Log.Info("ready", zap.String("management", a.managementURL), zap.String("api_server", a.rest.Host))
		close(a.ready)
	}
}

func (a *App) openStore() (*audit.Store, error) {
	store, err := a.options.Spool.NewStore(a.sink, a.options.Log,
		audit.WithClock(a.options.Clock),
		audit.WithLogger(a.options.Log.Named("audit")),
		audit.WithRegisterer(a.registry),
		// A controller has better things to do than to wait: the step is made again later.
		audit.WithFullPolicy(audit.Refuse),
	)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return store, nil
}

func (a *App) closeStore(ctx context.Context, store *audit.Store) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.share(3))
	defer cancel()
	return spool.Close(ctx, store) //nolint:wrapcheck // says what it did
}

// share divides the grace period: six tenths for the steps under way, three
// for the audit events, and one for the management port and the profiles.
func (a *App) share(tenths int) time.Duration {
	return a.options.Grace * time.Duration(tenths) / 10
}

func (o *Options) validate() error {
	if _, err := httpserver.ParseAddress("management-listen", o.ManagementListen); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	if err := httpserver.CheckProfilesAddress(o.PprofListen); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	if err := o.Spool.Check(); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	for _, namespace := range o.WatchNamespaces {
		if complaints := validation.IsDNS1123Label(namespace); len(complaints) > 0 {
			return cli.Usagef("--watch-namespace %q: %s", namespace, strings.Join(complaints, ", "))
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"retry-backoff", o.RetryBackoff},
		{"max-retry-backoff", o.MaxRetryBackoff},
		{"policy-deadline", o.PolicyDeadline},
		{"startup-timeout", o.StartupTimeout},
		{"grace", o.Grace},
	} {
		if d.value < 0 {
			return cli.Usagef("--%s %s: must be positive", d.flag, d.value)
		}
	}
	switch {
	case o.MaxRetryBackoff < o.RetryBackoff:
		return cli.Usagef("--max-retry-backoff %s: must not be below --retry-backoff %s", o.MaxRetryBackoff, o.RetryBackoff)
	case o.MaxAttempts < 0 || o.MaxAttempts > math.MaxInt32:
		return cli.Usagef("--max-attempts %d: must be between 1 and %d", o.MaxAttempts, math.MaxInt32)
	case o.Concurrency < 0:
		return cli.Usagef("--concurrency %d: must be positive", o.Concurrency)
	}
	return nil
}
