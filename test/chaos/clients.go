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

// callTimeout bounds a call of a Gateway that hangs.
const callTimeout = 30 * time.Second

// server is where the Gateway is at the moment.
type server struct {
	mu    sync.Mutex
	url   string
	moved chan struct{} // closed when the url changes
}

// move says that the server is somewhere else now, or nowhere any more where url is empty.
func (s *server) move(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = url
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *server) where() (url string, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url, s.moved
}

// route leads a notification to one life of the Gateway after the other: one
// that gives no answer was killed.
func (s *server) route() alertmanager.Route {
	var over <-chan struct{} // of the life that was tried last
	return func(ctx context.Context, failure error) (string, error) {
		if failure != nil && !errors.Is(failure, alertmanager.ErrBusy) {
			if err := wait(ctx, over); err != nil {
				return "", err
			}
		}
		for ctx.Err() == nil {
			url, moved := s.where()
			if over = moved; url != "" {
				return url, nil
			}
			if err := wait(ctx, moved); err != nil {
				return "", err
			}
		}
		return "", context.Cause(ctx)
	}
}

func wait(ctx context.Context, moved <-chan struct{}) error {
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no Gateway answers: %w", context.Cause(ctx))
	}
}

func newSenders(namespace string, s *server) *alertmanager.Senders {
	return alertmanager.NewSenders(alertmanager.Options{
		Namespace: namespace, NewRoute: s.route, HTTP: &http.Client{Timeout: callTimeout},
	})
}
