package lifecycle

import (
	"context"
	"errors"
	"fmt"
)

// App is a service that can run inside another program.
type App interface {
	// Run runs the service until ctx ends.
	Run(ctx context.Context) error
	// Ready is closed once the service serves.
	Ready() <-chan struct{}
}

// Running is an App that runs in this process. Its methods are safe for
// concurrent use.
type Running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // written before ended is closed
}

// Start runs an app until Stop, and waits until it is ready or ctx ends. The
// app outlives ctx.
func Start(ctx context.Context, name string, a App) (*Running, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Running{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		err := a.Run(own)
		if err == nil && own.Err() == nil {
			err = errByItself
		}
		if err != nil {
			r.err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	select {
	case <-a.Ready():
		return r, nil
	case <-r.ended:
		cancel()
		return nil, fmt.Errorf("start %w", r.err)
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, context.Cause(ctx)), r.Stop())
	}
}

// Ended is closed when the app has ended.
func (r *Running) Ended() <-chan struct{} { return r.ended }

// Stop stops the app and returns what went wrong while it ran. It may be called
// more than once.
func (r *Running) Stop() error {
	r.cancel()
	<-r.ended
	return r.err
}
