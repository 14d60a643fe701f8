package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/flushhttp"
)

var errCachesNotSynced = errors.New("the caches are not filled yet")

// servers are the open listeners of the service.
type servers struct {
	management net.Listener
	pprof      net.Listener // nil where pprof is off
}

func (a *App) listen(ctx context.Context) (*servers, error) {
	management, err := httpserver.Listen(ctx, "management-listen", a.options.ManagementListen)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	s := &servers{management: management}
	if a.options.PprofListen != "" {
		if s.pprof, err = httpserver.Listen(ctx, "pprof-listen", a.options.PprofListen); err != nil {
			s.close()
			return nil, err //nolint:wrapcheck // names the flag
		}
	}
	return s, nil
}

// close closes the listeners; those that were served are closed already, which is fine.
func (s *servers) close() {
	_ = s.management.Close()
	if s.pprof != nil {
		_ = s.pprof.Close()
	}
}

// run serves until ctx ends or one server fails.
func (s *servers) run(ctx context.Context, management http.Handler, grace time.Duration, log *zap.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := []*httpserver.Server{{Name: "management server", Listener: s.management, Handler: management, Grace: grace, Log: log}}
	if s.pprof != nil {
		all = append(all, &httpserver.Server{Name: "pprof server", Listener: s.pprof, Handler: httpserver.PprofHandler(), Grace: grace, Log: log})
	}
	results := make(chan error, len(all))
	for _, server := range all {
		go func() {
			err := server.Run(ctx)
			stop()
			results <- err
		}()
	}
	errs := make([]error, 0, len(all))
	for range all {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// management is the handler of the management port. controller-runtime keeps
// its metrics (queues, API calls) in a registry of the process.
func (a *App) management(store *audit.Store) http.Handler {
	m := &httpserver.Management{
		Ready: []httpserver.Check{{Name: "caches", Func: func(context.Context) error {
			select {
			case <-a.ready:
				return nil
			default:
				return errCachesNotSynced
			}
		}}},
		Metrics: prometheus.Gatherers{a.registry, metrics.Registry},
		Flush:   flushhttp.Handler(store),
		Log:     a.options.Log,
	}
	return m.Handler()
}
