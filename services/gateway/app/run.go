package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/pkg/audit"
)

// Run takes signals until ctx ends. Then it finishes the requests under way,
// writes the counts, flushes the audit store, closes the management port and
// returns nil. The error says what could not be started, or what was lost on
// the way out; events that are in the spool are not lost.
func (a *App) Run(ctx context.Context) error {
	g := &gateway{App: a, registry: prometheus.NewRegistry(), broken: make(chan error, 1)}
	err := g.start(ctx)
	if err == nil {
		close(a.ready)
		a.log.Info("taking signals", zap.String("api", a.apiURL), zap.String("management", a.managementURL),
			zap.String("kubernetes", g.cluster.address))
		select {
		case <-ctx.Done():
			a.log.Info("stopping")
		case err = <-g.broken:
		}
	} else if ctx.Err() != nil {
		// Asked to stop before it had begun: that is no failure.
		err = nil
	}
	return errors.Join(err, g.stop())
}

// gateway is one run of an App. Its fields belong to the goroutine of Run.
type gateway struct {
	*App

	registry  *prometheus.Registry
	listeners listeners
	store     *audit.Store
	cluster   *cluster

	parts  []*part    // in the order in which they were started
	ending time.Time  // when the stop began, set before any part is stopped
	broken chan error // gets the first part that ended by itself
}

// part runs beside the others until it is stopped.
type part struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // set before done is closed
}

// run starts a part. It does not end with ctx: parts are stopped one after
// the other, the last one first.
func (g *gateway) run(ctx context.Context, name string, body func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{stop: stop, done: make(chan struct{})}
	g.parts = append(g.parts, p)
	go func() {
		defer close(p.done)
		err := body(ctx)
		if ctx.Err() != nil {
			p.err = err
			return
		}
		select {
		case g.broken <- fmt.Errorf("%s ended by itself: %w", name, err):
		default:
		}
	}()
}

// start brings the parts up, in the reverse order of their end.
func (g *gateway) start(ctx context.Context) error {
	g.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	connection, err := g.connect()
	if err != nil {
		return err
	}
	g.cluster = connection
	if err := g.listen(ctx); err != nil {
		return err
	}
	if err := g.openStore(); err != nil {
		return err
	}
	g.serveManagement(ctx)
	g.run(ctx, "audit store", g.keepStore)
	waiting, cancel := context.WithTimeout(ctx, g.options.StartupTimeout)
	defer cancel()
	if err := g.knock(waiting, g.cluster); err != nil {
		return err
	}
	if err := g.startCache(ctx, waiting); err != nil {
		return err
	}
	return g.serveAPI(ctx)
}

// stop ends the parts, and returns what they could not finish.
func (g *gateway) stop() error {
	g.ending = g.options.Clock.Now()
	var errs []error
	for _, p := range slices.Backward(g.parts) {
		p.stop()
		<-p.done
		errs = append(errs, p.err)
	}
	for _, l := range g.listeners.all() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close %s: %w", l.Addr(), err))
		}
	}
	g.sink.CloseIdleConnections()
	return errors.Join(errs...)
}

// openStore makes the audit store.
func (g *gateway) openStore() error {
	store, err := g.options.Spool.NewStore(g.sink, g.log,
		audit.WithClock(g.options.Clock),
		audit.WithLogger(g.log),
		audit.WithRegisterer(g.registry),
		// The senders of signals try again: better now than after a long wait.
		audit.WithFullPolicy(audit.Refuse),
	)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	g.store = store
	return nil
}

// keepStore closes the audit store when it is stopped: after everything that
// records, and before the management port, so that a flush from outside is
// answered to the end.
func (g *gateway) keepStore(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.share(3))
	defer cancel()
	return spool.Close(ctx, g.store) //nolint:wrapcheck // says what it did
}

// share divides the grace period: four tenths for the requests under way, two
// for the counts, three for the audit events, and one for the management port
// and the profiles.
func (g *gateway) share(tenths int) time.Duration {
	return g.options.Grace * time.Duration(tenths) / 10
}

// countsGrace is the counts' share, and what the requests have left of theirs.
func (g *gateway) countsGrace() time.Duration {
	return g.share(4+2) - g.options.Clock.Since(g.ending)
}

func (g *gateway) startCache(ctx, waiting context.Context) error {
	if err := g.index(waiting); err != nil {
		return err
	}
	g.run(ctx, "cache of requests", g.cluster.requests.Start)
	return g.sync(waiting, g.cluster)
}
