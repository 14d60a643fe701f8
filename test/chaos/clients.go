package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"kubernaut.ai/test/alertmanager"
)

// callTimeout bounds a request to a Gateway that hangs.
const callTimeout = 30 * time.Second

// endpoint is the address of the Gateway process that currently runs.
type endpoint struct {
	mu      sync.Mutex
	url     string        // guarded by mu; empty while none runs
	changed chan struct{} // guarded by mu; closed when url changes
}

// set changes the address.
func (e *endpoint) set(url string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.url = url
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *endpoint) get() (url string, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.url, e.changed
}

// route sends a notification to one Gateway process after the other: a process
// that does not respond was killed.
func (e *endpoint) route() alertmanager.Route {
	var replaced <-chan struct{} // closed when the process that was tried last has a successor
	return func(ctx context.Context, failure error) (string, error) {
		if failure != nil && !errors.Is(failure, alertmanager.ErrBusy) {
			if err := wait(ctx, replaced); err != nil {
				return "", err
			}
		}
		for ctx.Err() == nil {
			url, changed := e.get()
			if replaced = changed; url != "" {
				return url, nil
			}
			if err := wait(ctx, changed); err != nil {
				return "", err
			}
		}
		return "", context.Cause(ctx)
	}
}

func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no Gateway responds: %w", context.Cause(ctx))
	}
}

func newSenders(namespace string, e *endpoint) *alertmanager.Senders {
	return alertmanager.NewSenders(alertmanager.Options{
		Namespace: namespace, NewRoute: e.route, HTTP: &http.Client{Timeout: callTimeout},
	})
}
