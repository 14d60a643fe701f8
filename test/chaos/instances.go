package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// restartPause is between the end of a process and the start of its successor.
const restartPause = 100 * time.Millisecond

var errNoInstance = errors.New("no instance is ready")

// instances are processes of one service behind one address. Each is started again
// after it has ended, as in a cluster.
type instances struct {
	*processes

	// kills are asked of the loop of each instance, which closes what it was sent once the process has ended.
	kills []chan chan struct{}
	stop  context.CancelFunc
	group *errgroup.Group

	mu sync.Mutex
	// ready are the addresses of the API by instance, empty while it is not ready; guarded by mu.
	ready []string
}

// runInstances starts n of them. The caller closes them.
func runInstances(ctx context.Context, p *processes, n int) *instances {
	s := &instances{processes: p, ready: make([]string, n)}
	ctx, s.stop = context.WithCancel(ctx)
	s.group, ctx = errgroup.WithContext(ctx)
	for i := range n {
		s.kills = append(s.kills, make(chan chan struct{}))
		s.group.Go(func() error { return s.run(ctx, i) })
	}
	return s
}

// close ends them gracefully. Its error is also that of one which failed before.
func (s *instances) close() error {
	s.stop()
	if err := s.group.Wait(); err != nil {
		return fmt.Errorf("instances of %s: %w", s.name, err)
	}
	return nil
}

// kill ends one of them at whatever it does. It returns once it has ended.
func (s *instances) kill(ctx context.Context, i int) error {
	ended := make(chan struct{})
	select {
	case s.kills[i] <- ended:
	case <-ctx.Done():
		return fmt.Errorf("kill an instance: %w", context.Cause(ctx))
	}
	<-ended
	return nil
}

// dial connects to one that is ready.
func (s *instances) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	var ready []string
	for _, at := range s.ready {
		if at != "" {
			ready = append(ready, at)
		}
	}
	s.mu.Unlock()
	if len(ready) == 0 {
		return nil, errNoInstance
	}
	return new(net.Dialer).DialContext(ctx, "tcp", ready[rand.IntN(len(ready))])
}

func (s *instances) set(i int, at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[i] = at
}

func (s *instances) run(ctx context.Context, i int) error {
	for ctx.Err() == nil {
		started, ready, err := s.serve(syscall.SIGTERM)
		if err != nil {
			return err
		}
		err = s.watch(ctx, i, started, ready)
		s.set(i, "")
		if err != nil {
			return err
		}
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// watch returns once the process has ended. One that was not ready yet may give up:
// its database may be away for longer than it waits.
func (s *instances) watch(ctx context.Context, i int, started *process, ready <-chan addresses) error {
	served := false
	for {
		select {
		case at := <-ready:
			api, err := url.Parse(at.API)
			if err != nil {
				return fmt.Errorf("address of an instance: %w", err)
			}
			s.set(i, api.Host)
			served, ready = true, nil
		case ended := <-s.kills[i]:
			_ = syscall.Kill(started.PID(), syscall.SIGKILL) // it may have ended
			<-started.Done()
			close(ended)
			return nil
		case <-started.Done():
			if served {
				return fmt.Errorf("it has ended though nobody killed it: %w", started.Failure())
			}
			return nil
		case <-ctx.Done():
			if served {
				return started.finish(context.WithoutCancel(ctx))
			}
			return started.Stop(context.WithoutCancel(ctx))
		}
	}
}
