package audit

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// maxRetryAfter bounds what a sink can ask for, against an absurd answer.
const maxRetryAfter = 5 * time.Minute

// kicksSoFar counts the flushes that began before an attempt: a later one is
// worth another attempt, because the sink may have recovered in between.
func (s *Store) kicksSoFar() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kicks
}

// kick makes an attempt at once of what waits for a later one. Called with the lock.
func (s *Store) kick() {
	s.kicks++
	s.kicked.wake()
}

// sinkFailed notes a failure, and logs the first of a row.
func (s *Store) sinkFailed(err error, events int) {
	s.metrics.retries.Inc()
	s.mu.Lock()
	wasUp := s.sinkErr == nil
	s.sinkErr = err
	owed := s.owed()
	s.mu.Unlock()
	if wasUp {
		s.logger.Warn("audit sink down, events stay owed", zap.Int("owed_events", owed), zap.Error(err))
	}
	s.observer(MomentFailed, events)
}

// sinkAnswered notes that the sink works, and lets those go on who wait for
// that; it logs it if the sink did not work before.
func (s *Store) sinkAnswered() {
	s.mu.Lock()
	wasDown := s.sinkErr != nil
	if wasDown {
		s.sinkErr = nil
		s.sinkFailures = 0
		s.prober = nil
		s.sinkBack.wake()
	}
	owed := s.owed()
	s.mu.Unlock()
	if wasDown {
		s.logger.Info("audit sink back", zap.Int("owed_events", owed))
		nudge(s.wake)
	}
}

// awaitSink waits before the next attempt of a delivery that failed. One
// delivery at a time probes the sink after a pause, so that a sink that comes
// back is not run over; the others wait until it answers. kicks are the flushes
// that had begun when the attempt was made.
func (s *Store) awaitSink(ctx context.Context, d *delivery, err error, kicks uint64) {
	s.mu.Lock()
	for s.sinkErr != nil && s.prober != nil && s.prober != d {
		changed := s.sinkBack.join()
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
	}
	if s.sinkErr == nil {
		s.mu.Unlock()
		return
	}
	s.prober = d
	s.sinkFailures++
	pause := s.backoff(s.sinkFailures, err)
	changed := s.sinkBack.join()
	s.mu.Unlock()
	s.pause(ctx, pause, kicks, changed)
}

// pause waits before the next attempt. A flush that began after kicks was read
// ends it, so that a flush depends on no timer, and so does a sink that answers
// another delivery: several may pause at a time, and each has to hear of both.
func (s *Store) pause(ctx context.Context, pause time.Duration, kicks uint64, changed <-chan struct{}) {
	s.mu.Lock()
	if s.kicks != kicks {
		s.mu.Unlock()
		return
	}
	kicked := s.kicked.join()
	s.mu.Unlock()
	timer := s.clock.NewTimer(pause)
	defer timer.Stop()
	s.observer(MomentPausing, 0)
	select {
	case <-timer.C():
	case <-kicked:
	case <-changed:
	case <-ctx.Done():
	}
}

// backoff doubles the pause with each failure and shortens it by up to a half
// at random, so that many stores do not come back together. A sink that says
// when to come back is not visited earlier, unless a flush begins. Called with
// the lock.
func (s *Store) backoff(failures int, err error) time.Duration {
	pause := s.firstBackoff
	for i := 1; i < failures && pause < s.longestBackoff; i++ {
		pause *= 2
	}
	pause = min(pause, s.longestBackoff)
	if sinkErr, ok := errors.AsType[*SinkError](err); ok && sinkErr.RetryAfter > 0 {
		asked := min(sinkErr.RetryAfter, maxRetryAfter)
		return asked + s.jitter(pause/2)
	}
	return pause - s.jitter(pause/2)
}

// jitter is a random duration below most. Called with the lock.
func (s *Store) jitter(most time.Duration) time.Duration {
	return time.Duration(s.random.Uint64() % uint64(max(most, 1))) //nolint:gosec // positive
}
