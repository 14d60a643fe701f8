package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	percent = 100
	// returning is the percentage of a part's time that it may use until its
	// own deadline; the rest is for returning an error that says more than the
	// group can.
	returning = 90
)

var errByItself = errors.New("ended by itself")

// Grace is how long a part has left to finish. It is meaningful once the
// part's context has ended.
type Grace = func() time.Duration

// Part is a part of a program.
type Part struct {
	// Name of the part, for errors and logs.
	Name string
	// Run runs the part until ctx ends, and then finishes within grace. A part
	// that returns earlier has failed, even if it returns nil.
	Run func(ctx context.Context, grace Grace) error
	// Share is the percentage of the grace period that is reserved for this
	// part, 1 if it is less: the parts that stop before it cannot use it. A part
	// may use everything that is left, except for what is reserved for those
	// that stop after it. The shares of a group add up to less than 100.
	Share int
}

// Simple adapts a part that needs no time to finish, or bounds it itself.
func Simple(run func(ctx context.Context) error) func(context.Context, Grace) error {
	return func(ctx context.Context, _ Grace) error { return run(ctx) }
}

// OnStop is the Run of a part that has something to do when it is stopped and
// nothing before. The context of stop ends with the part's grace.
func OnStop(stop func(ctx context.Context) error) func(context.Context, Grace) error {
	return func(ctx context.Context, grace Grace) error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace())
		defer cancel()
		return stop(ctx)
	}
}

// Options of Run.
type Options struct {
	// Grace bounds the stop of all parts together.
	Grace time.Duration
	// Log gets the stop, and at debug level that of each part; nil discards it.
	Log *zap.Logger
}

// Group is the parts of a running program.
type Group struct {
	grace   time.Duration
	log     *zap.Logger
	parts   []*part // in the order of Add; owned by the goroutine of Run
	abort   context.CancelCauseFunc
	running <-chan struct{} // closed when the stop begins
}

// part is a running Part.
type part struct {
	Part

	cancel context.CancelFunc
	limit  atomic.Pointer[time.Time] // set before cancel: when Grace is over
	ended  chan struct{}
	err    error // written before ended is closed
}

// Run runs a program. The function start adds the program's parts, each of
// which runs at once, and returns when the program is up; its context ends when
// the stop begins. The program then runs until ctx ends or a part returns.
// The parts are stopped in reverse order, each once the one added after it has
// returned. A part that outlives its time is left behind, so that Run returns
// within the grace period.
//
// The error joins what the parts returned. A part that returned before it was
// stopped has failed. When ctx ends before start has returned, the error of
// start does not count: the program was asked to stop, and stopped.
func Run(ctx context.Context, o Options, start func(ctx context.Context, g *Group) error) error {
	running, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	g := &Group{grace: o.Grace, log: o.Log, abort: abort, running: running.Done()}
	if g.log == nil {
		g.log = zap.NewNop()
	}
	err := start(running, g)
	if err == nil {
		<-running.Done()
	}
	if running.Err() != nil {
		err = nil // a consequence of the stop, or of the part that stop reports
	}
	abort(nil)
	return errors.Join(err, g.stop())
}

// Add starts a part. Only the function that Run was given calls it, in its own
// goroutine. The part does not end with ctx: parts are stopped one by one.
func (g *Group) Add(ctx context.Context, one Part) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{Part: one, cancel: cancel, ended: make(chan struct{})}
	g.parts = append(g.parts, p)
	go func() {
		defer close(p.ended)
		p.err = p.Run(ctx, p.grace)
		switch {
		case ctx.Err() != nil:
			return
		case p.err == nil:
			p.err = fmt.Errorf("%s: %w", p.Name, errByItself)
		default:
			p.err = fmt.Errorf("%s: %w: %w", p.Name, errByItself, p.err)
		}
		g.abort(p.err)
	}()
}

// Stopping reports whether the stop has begun. It is safe for concurrent use.
func (g *Group) Stopping() bool {
	select {
	case <-g.running:
		return true
	default:
		return false
	}
}

// stop ends the parts within the grace period.
func (g *Group) stop() error {
	if len(g.parts) == 0 {
		return nil
	}
	g.log.Info("stopping")
	deadline := time.Now().Add(g.grace)
	var reserved time.Duration
	for _, p := range g.parts {
		reserved += g.share(p)
	}
	var errs []error
	for _, p := range slices.Backward(g.parts) {
		reserved -= g.share(p)
		began := time.Now()
		errs = append(errs, p.stop(max(0, deadline.Sub(began)-reserved)))
		g.log.Debug("stopped", zap.String("part", p.Name), zap.Duration("took", time.Since(began)))
	}
	g.log.Info("stopped")
	return errors.Join(errs...)
}

func (g *Group) share(p *part) time.Duration {
	return g.grace * time.Duration(max(1, p.Share)) / percent
}

func (p *part) stop(available time.Duration) error {
	limit := time.Now().Add(available * returning / percent)
	p.limit.Store(&limit)
	p.cancel()
	timer := time.NewTimer(available)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-timer.C:
	}
	select {
	case <-p.ended: // at the last moment
		return p.err
	default:
		return fmt.Errorf("%s did not stop within %s", p.Name, available.Round(time.Millisecond))
	}
}

// grace is the part's Grace.
func (p *part) grace() time.Duration {
	limit := p.limit.Load()
	if limit == nil {
		return 0
	}
	return max(0, time.Until(*limit))
}
