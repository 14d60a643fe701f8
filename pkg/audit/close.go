package audit

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Close stops accepting, flushes and releases the store's goroutines and its
// spool. Its error is that of a Flush; nil means that everything ever accepted
// is stored. When ctx ends first, and no other Close waits any more, the store
// gives up: with a spool, what it still owes is kept there for the next store
// that opens it, and is Pending in the error; without one it is lost, and named
// in the error. Close may be called again, and reports the same until the
// failures are acknowledged.
func (s *Store) Close(ctx context.Context) error {
	started := s.clock.Now()
	s.mu.Lock()
	s.closed = true
	s.closers++
	s.wakeRecorders()
	s.mu.Unlock()
	nudge(s.spoolWake)
	cause := s.awaitDrained(ctx)

	s.mu.Lock()
	t := s.join("", true)
	s.mu.Unlock()
	nudge(s.wake)
	if cause == nil {
		cause = s.await(ctx, t)
	}
	s.mu.Lock()
	s.closers--
	last := s.closers == 0
	s.mu.Unlock()
	if cause == nil || last {
		s.giveUp(ctx)
	}

	s.mu.Lock()
	s.leave(t)
	failure := s.report(t, cause)
	giveBackErr := s.giveBackErr
	s.mu.Unlock()
	s.metrics.flushed(failure, s.clock.Since(started))
	if failure == nil {
		return giveBackErr
	}
	if giveBackErr != nil {
		return errors.Join(failure, giveBackErr)
	}
	return failure
}

// awaitDrained waits until what Record calls had handed to the spool is accepted.
func (s *Store) awaitDrained(ctx context.Context) error {
	select {
	case <-s.drained:
		return nil
	default:
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // becomes FlushError.Cause
	}
}

// closeGrace is how long Close waits for a sink, and then for a spool, to return
// after its context ended. It is real time: what breaks its contract does so in
// real time.
const closeGrace = time.Second

// giveUp ends the store's goroutines. The spool takes what is still owed; what
// it does not take is lost.
func (s *Store) giveUp(ctx context.Context) {
	s.stop()
	s.awaitOver(ctx, s.delivered)
	s.finishOnce.Do(func() { close(s.finish) })
	if !s.awaitOver(ctx, s.given) {
		s.mu.Lock()
		s.giveBackErr = errSpoolStuck
		s.mu.Unlock()
	}
	s.abandon()
	s.overOnce.Do(func() {
		close(s.over)
		s.metrics.unregister()
	})
}

var errSpoolStuck = errors.New("give the audit spool back: the disk does not answer")

// awaitOver waits until ctx ended, and the grace after that, unless another
// Close has given up in the meantime. It says whether done is.
func (s *Store) awaitOver(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-s.over:
		return true
	case <-ctx.Done():
	}
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// abandon declares lost what is still owed and not on disk.
func (s *Store) abandon() {
	lost, kept, sinkErr := s.lose()
	if lost > 0 {
		s.metrics.lost.Add(float64(lost))
		s.logger.Error("audit store closed before everything was stored",
			zap.Int("lost_events", lost), zap.Int("spooled_events", kept), zap.Error(sinkErr))
	} else if kept > 0 {
		s.logger.Warn("audit store closed before everything was stored, the rest is in the spool",
			zap.Int("spooled_events", kept), zap.Error(sinkErr))
	}
}

// lose settles as lost what is owed and in memory only, once, and counts it and the rest.
func (s *Store) lose() (count, kept int, sinkErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lossSaid {
		return 0, 0, nil
	}
	s.lossSaid = true
	s.disarm()
	var lost []*item
	s.queue.owed(s.queue.last, func(it *item) {
		if it.position == 0 {
			lost = append(lost, it)
			s.lost.add(it.seq, Rejection{Reference: it.event.reference()}, nil)
		}
	})
	s.settle(lost, settling{lost: true})
	for place := range s.waiters {
		s.answer(place, nil, true)
	}
	s.gaveUp = true
	return len(lost), s.owed(), s.sinkErr
}
