package audit

import (
	"context"
	"time"
)

// Close stops accepting, flushes and releases the store's goroutine. Its error
// is that of a Flush; nil means that everything ever accepted is stored. When
// ctx ends first, and no other Close waits any more, the store gives up: what
// it still owed is lost, and named in the error. Close may be called again, and
// reports the same until the failures are acknowledged.
func (s *Store) Close(ctx context.Context) error {
	started := s.clock.Now()
	s.mu.Lock()
	s.closed = true
	s.closers++
	s.wakeRecorders()
	t := s.join("", true)
	s.mu.Unlock()
	s.nudge()

	cause := s.await(ctx, t)
	s.mu.Lock()
	s.closers--
	last := s.closers == 0
	s.mu.Unlock()
	if cause == nil || last {
		s.release()
	}

	s.mu.Lock()
	s.leave(t)
	failure := s.report(t, cause)
	s.mu.Unlock()
	s.metrics.flushed(failure, s.clock.Since(started))
	if failure != nil {
		return failure
	}
	return nil
}

// closeGrace is how long Close waits for a sink to return after its context
// ended. It is real time: a sink that breaks its contract does so in real time.
const closeGrace = time.Second

// release ends the sender, which declares lost what is still owed, if anything is.
func (s *Store) release() {
	s.stop()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-s.done:
	case <-grace.C:
		s.abandon()
	}
}
