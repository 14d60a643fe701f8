package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"kubernaut.ai/internal/lifecycle"
)

// app is ready at once, unless it fails, and ends when it is told to.
type app struct {
	ready chan struct{}
	end   chan error
}

func newApp() *app { return &app{ready: make(chan struct{}), end: make(chan error, 1)} }

func (a *app) Ready() <-chan struct{} { return a.ready }

func (a *app) Run(ctx context.Context) error {
	select {
	case err := <-a.end:
		return err
	case <-ctx.Done():
		return nil
	}
}

func TestStartWaitsUntilTheAppIsReady(t *testing.T) {
	a := newApp()
	close(a.ready)
	running, err := lifecycle.Start(t.Context(), "app", a)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := running.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func TestStartReportsAnAppThatCannotStart(t *testing.T) {
	a := newApp()
	a.end <- errors.New("no database")
	if _, err := lifecycle.Start(t.Context(), "app", a); err == nil || err.Error() != "start app: no database" {
		t.Errorf("error %v", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("too late"))
	if _, err := lifecycle.Start(ctx, "app", newApp()); err == nil || !strings.Contains(err.Error(), "too late") {
		t.Errorf("error %v", err)
	}
}

func TestAnAppThatEndsByItselfHasFailed(t *testing.T) {
	a := newApp()
	close(a.ready)
	running, err := lifecycle.Start(t.Context(), "app", a)
	if err != nil {
		t.Fatal(err)
	}
	a.end <- nil
	<-running.Ended()
	if err := running.Stop(); err == nil || err.Error() != "app: ended by itself" {
		t.Errorf("error %v", err)
	}
}

func TestManyMayStopAnAppAtOnce(t *testing.T) {
	for range 100 {
		a := newApp()
		close(a.ready)
		running, err := lifecycle.Start(t.Context(), "app", a)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := running.Stop(); err != nil {
					t.Errorf("stop: %v", err)
				}
				<-running.Ended()
			})
		}
		all.Wait()
	}
}
