package app

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"

	"kubernaut.ai/internal/httpserver"
)

// partitionsEvery is how often room is made ahead; there is room for months.
const partitionsEvery = 24 * time.Hour

func (s *serving) listen(ctx context.Context) (err error) {
	o := s.app.options
	for _, l := range []struct {
		flag, address string
		listener      *net.Listener
	}{
		{"listen", o.Listen, &s.api},
		{"management-listen", o.ManagementListen, &s.management},
		{"pprof-listen", o.PprofListen, &s.pprof},
	} {
		if l.address == "" {
			continue
		}
		if *l.listener, err = httpserver.Listen(ctx, l.flag, l.address); err != nil {
			return errors.Join(err, s.closeListeners())
		}
	}
	return nil
}

func (s *serving) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{s.api, s.management, s.pprof} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// part is something that runs beside the others until it is stopped.
type part struct {
	stop  context.CancelFunc
	ended chan struct{}
	err   error // final once ended is closed
}

// start runs a part. It does not end with ctx, because parts are stopped in
// order; when it ends by itself, fail is told.
func start(ctx context.Context, fail context.CancelCauseFunc, run func(context.Context) error) *part {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = run(ctx)
		if p.err != nil {
			fail(p.err)
		}
	}()
	return p
}

// end stops the part and returns its error.
func (p *part) end() error {
	p.stop()
	<-p.ended
	return p.err
}

// run serves until ctx ends or a part fails. The order of stopping: the API
// finishes its requests, for which the writer is still there; the management
// port answers until the end.
func (s *serving) run(ctx context.Context, ready func()) error {
	o := s.app.options
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	parts := []*part{
		start(ctx, fail, (&httpserver.Server{
			Name: "api", Listener: s.api, Handler: s.apiHandler, TLS: s.app.tls, Grace: o.Grace, Log: s.app.log,
		}).Run),
		start(ctx, fail, s.writer.Run),
		start(ctx, fail, s.partitions),
		start(ctx, fail, (&httpserver.Server{
			Name: "management", Listener: s.management, Handler: s.managementHandler, Grace: time.Second, Log: s.app.log,
		}).Run),
	}
	if s.pprof != nil {
		parts = append(parts, start(ctx, fail, (&httpserver.Server{
			Name: "pprof", Listener: s.pprof, Handler: httpserver.PprofHandler(), Grace: time.Second, Log: s.app.log,
		}).Run))
	}
	ready()
	<-ctx.Done()
	s.stopping.Store(true)
	s.app.log.Info("stopping", zap.Int("queued_events", s.writer.Depth()))
	errs := make([]error, 0, len(parts))
	for _, p := range parts {
		errs = append(errs, p.end())
	}
	s.app.log.Info("stopped")
	return errors.Join(errs...)
}

// partitions makes room ahead of time, every day.
func (s *serving) partitions(ctx context.Context) error {
	ticker := s.app.options.Clock.NewTicker(partitionsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			s.app.ensurePartitions(ctx, s.pool)
		}
	}
}
