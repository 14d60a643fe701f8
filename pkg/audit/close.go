package audit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kubernaut.ai/pkg/audit/internal/barriers"
	"kubernaut.ai/pkg/audit/internal/failures"
)

// Close stops accepting, flushes and releases the store's goroutines and its
// spool. Its error is that of a Flush; nil means that everything ever accepted
// is stored. When ctx ends first, and no other Close still waits, the store
// gives up: with a spool, what is still pending is persisted there for the next
// store that opens it, and is Pending in the error; without one it is lost, and
// named in the error. Close may be called again, and reports the same until the
// failures are acknowledged.
func (s *Store) Close(ctx context.Context) error {
	started := s.clock.Now()
	s.mu.Lock()
	s.life.closers++
	s.life.advance(closing)
	if s.spool == nil {
		s.life.advance(drained)
	}
	s.wakeRecorders()
	s.mu.Unlock()
	nudge(s.spoolWake)
	cause := s.awaitDrained(ctx)

	s.mu.Lock()
	t := s.join(ctx, barriers.Everything)
	s.mu.Unlock()
	nudge(s.wake)
	if cause == nil {
		cause = s.await(ctx, t)
	}
	s.mu.Lock()
	s.life.closers--
	last := s.life.closers == 0
	s.mu.Unlock()
	if cause == nil || last {
		s.giveUp(ctx)
	}

	s.mu.Lock()
	s.barriers.Leave(t)
	failure := s.report(t, cause)
	spoolErr := s.life.err
	s.mu.Unlock()
	s.metrics.flushed(failure, s.clock.Since(started))
	if failure == nil {
		return spoolErr
	}
	if spoolErr != nil {
		return errors.Join(failure, spoolErr)
	}
	return failure
}

// awaitDrained waits until what Record calls had handed to the spool is accepted.
func (s *Store) awaitDrained(ctx context.Context) error {
	select {
	case <-s.life.reached[drained]:
		return nil
	default:
	}
	select {
	case <-s.life.reached[drained]:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // becomes FlushError.Cause
	}
}

// closeGrace is how long Close waits for a sink, and then for a spool, to return
// after its context ended. It is real time: what breaks its contract does so in
// real time.
const closeGrace = time.Second

// giveUp ends the store's goroutines. The spool takes what is still pending;
// what it does not take is lost.
func (s *Store) giveUp(ctx context.Context) {
	s.stop()
	s.awaitPhase(ctx, delivered)
	s.advance(delivered)
	if s.spool != nil {
		s.awaitPhase(ctx, ended)
		s.mu.Lock()
		if s.life.phase < ended {
			s.life.err = errSpoolStuck
		}
		s.mu.Unlock()
	}
	s.declareLost()
	s.end()
}

var errSpoolStuck = errors.New("close the audit spool: the disk does not respond")

// awaitPhase waits for a phase until ctx ended, and the grace after that.
func (s *Store) awaitPhase(ctx context.Context, p phase) {
	select {
	case <-s.life.reached[p]:
		return
	case <-ctx.Done():
	}
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-s.life.reached[p]:
	case <-timer.C:
	}
}

// end begins the last phase: whoever still waits for the store returns.
func (s *Store) end() {
	if s.advance(ended) {
		s.metrics.unregister()
	}
}

// declareLost declares lost, once, what is pending and not on disk.
func (s *Store) declareLost() {
	s.mu.Lock()
	if !s.life.advance(declared) {
		s.mu.Unlock()
		return
	}
	s.disarm()
	var lost []*item
	s.queue.Pending(s.queue.Last(), func(it *item) {
		if it.Position == 0 {
			lost = append(lost, it)
			name := it.Event.reference()
			s.lost.Add(failures.Failure[Reference]{Seq: it.Seq, ID: name.ID, CorrelationID: name.CorrelationID, Payload: name})
		}
	})
	s.finish(lost, outcome{lost: true})
	s.waiters.loseAll()
	spooled, sinkErr := s.pending(), s.health.Err()
	quarantined := 0
	if s.spool != nil {
		quarantined = s.rejected.Count()
	}
	s.mu.Unlock()

	switch {
	case len(lost) > 0:
		s.metrics.lost.Add(float64(len(lost)))
		s.log(slog.LevelError, "audit store closed before everything was stored",
			slog.Int("lost_events", len(lost)), slog.Int("spooled_events", spooled), errorAttr(sinkErr))
	case spooled+quarantined > 0:
		s.log(slog.LevelWarn, "audit store closed before everything was stored, the rest is in the spool",
			slog.Int("spooled_events", spooled), slog.Int("quarantined_events", quarantined), errorAttr(sinkErr))
	}
}
