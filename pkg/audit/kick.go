package audit

import (
	"context"
	"time"
)

// kickInterval is the shortest time between two attempts that flushes from
// outside of the process make of a sink that is down. It doubles with each that
// fails, up to longestKick. It is real time: such flushes come from people and
// programs, whatever the store's clock does.
const (
	kickInterval = 100 * time.Millisecond
	longestKick  = time.Second
)

// remoteKey marks the context of a flush from outside of the process.
type remoteKey struct{}

// Remote marks the flushes with a context as called for from outside of the
// process. Each flush ends the backoff of a sink that is down, because the sink
// may have recovered. Whoever can reach a port could so make a store attack its
// sink; the remote flushes of a store together therefore end a backoff at most
// once in 100 ms, and while the attempts fail less and less often, down to once a
// second. One that comes earlier is not forgotten: its attempt is made when that
// time has passed, even if the flush has ended by then.
func Remote(ctx context.Context) context.Context {
	return context.WithValue(ctx, remoteKey{}, true)
}

// kicks coalesces the attempts of remote flushes. The store's mutex guards it.
type kicks struct {
	last     time.Time // zero: there was none yet
	interval time.Duration
	due      bool // a timer runs for the next one
}

// kick ends the backoff of a sink that is down, now or soon. Called with the lock.
func (s *Store) kick(ctx context.Context) {
	switch {
	case ctx.Value(remoteKey{}) == nil:
		s.health.Hurry()
		return
	case s.kicks.due:
		return // its attempt begins after this call
	case !s.health.Down(), s.kicks.interval == 0:
		s.kicks.interval = kickInterval
	}
	if wait := s.kicks.interval - time.Since(s.kicks.last); !s.kicks.last.IsZero() && wait > 0 {
		s.kicks.due = true
		time.AfterFunc(wait, s.lateKick)
		return
	}
	s.kickNow()
}

// lateKick is for the remote flushes that came too early.
func (s *Store) lateKick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kicks.due = false
	s.kickNow()
}

// kickNow ends the backoff. Called with the lock.
func (s *Store) kickNow() {
	if s.health.Down() {
		s.kicks.interval = min(2*s.kicks.interval, longestKick)
	}
	s.kicks.last = time.Now()
	s.health.Hurry()
}
