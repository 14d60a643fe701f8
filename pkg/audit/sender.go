package audit

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// maxRetryAfter bounds what a sink can ask for, against an absurd answer.
const maxRetryAfter = 5 * time.Minute

// run sends batches, oldest first, until the store is closed and owes nothing,
// or gives up.
func (s *Store) run(ctx context.Context) {
	defer close(s.done)
	for {
		batch := s.next(ctx)
		if batch == nil {
			break
		}
		s.deliver(ctx, batch)
	}
	s.abandon()
	s.stop()
	s.metrics.unregister()
}

// next waits until a batch is due and takes it; nil when there is none to come.
func (s *Store) next(ctx context.Context) []*item {
	expired := false
	for ctx.Err() == nil {
		s.mu.Lock()
		if s.taken < s.queue.last && (expired || s.closed || s.sendTo > s.taken || s.full()) {
			batch := s.take()
			s.mu.Unlock()
			return batch
		}
		finished := s.closed && s.taken == s.queue.last
		s.mu.Unlock()
		if finished {
			return nil
		}
		select {
		case <-s.timer.C():
			expired = true
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// take takes the oldest unsent events, and arms the interval timer for the
// first that stays behind. Called with the lock.
func (s *Store) take() []*item {
	var batch []*item
	bytes := 0
	for s.taken < s.queue.last && len(batch) < s.batchEvents {
		it := s.queue.at(s.taken + 1)
		if len(batch) > 0 && bytes+it.size > s.batchBytes {
			break
		}
		batch = append(batch, it)
		bytes += it.size
		s.taken++
	}
	s.unsentBytes -= bytes
	s.disarm()
	if s.taken < s.queue.last {
		if left := s.interval - s.clock.Since(s.queue.at(s.taken+1).acceptedAt); left > 0 {
			s.timer.Reset(left)
		} else {
			s.sendTo = max(s.sendTo, s.taken+1)
		}
	}
	return batch
}

// deliver writes a batch until each of its events is settled, or ctx ends. A
// refused batch is written again without the events that the sink named, or in
// halves, first half first, until the offender stands alone.
func (s *Store) deliver(ctx context.Context, batch []*item) {
	failures := 0
	for work := [][]*item{batch}; len(work) > 0; {
		part := work[len(work)-1]
		kicks := s.kicksSoFar()
		ack, err := s.write(ctx, part)
		switch {
		case err == nil:
			s.stored(part, ack)
			work, failures = work[:len(work)-1], 0
		case errors.Is(err, ErrRefused):
			s.sinkAnswered()
			work = work[:len(work)-1]
			if rest, named := s.refuse(part, err); named {
				if len(rest) > 0 {
					work = append(work, rest)
				}
			} else {
				work = append(work, part[len(part)/2:], part[:len(part)/2])
			}
		case ctx.Err() != nil:
			return
		default:
			failures++
			s.sinkFailed(err)
			s.pause(ctx, s.backoff(failures, err), kicks)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// write calls the sink once.
func (s *Store) write(ctx context.Context, part []*item) (Ack, error) {
	events := make([]Event, len(part))
	for i, it := range part {
		events[i] = it.event
	}
	ctx, cancel := context.WithTimeout(ctx, s.writeTimeout)
	defer cancel()
	started := s.clock.Now()
	ack, err := s.sink.Write(ctx, events)
	s.metrics.wrote(len(part), s.clock.Since(started))
	return ack, err //nolint:wrapcheck // told apart by type in deliver
}

// stored settles what the sink acknowledged.
func (s *Store) stored(part []*item, ack Ack) {
	s.sinkAnswered()
	s.metrics.stored.Add(float64(len(part)))
	s.metrics.duplicates.Add(float64(ack.Duplicates))
	s.mu.Lock()
	defer s.mu.Unlock()
	if ack.ConsistencyToken != "" {
		s.token = ack.ConsistencyToken
	}
	s.settle(part, false)
}

// refuse quarantines the events that a refusal names, and gives back the
// others. A single event needs no naming. named is false when the refusal does
// not say which events it means, or names some that are not there.
func (s *Store) refuse(part []*item, err error) (rest []*item, named bool) {
	refusals := make(map[int]Refusal)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		for _, r := range refused.Items {
			if r.Index < 0 || r.Index >= len(part) {
				clear(refusals)
				break
			}
			refusals[r.Index] = r
		}
	}
	if len(refusals) == 0 {
		if len(part) > 1 {
			return nil, false
		}
		refusals[0] = Refusal{Code: "refused", Reason: err.Error()}
	}

	s.mu.Lock()
	first := s.rejected.count() == 0
	s.mu.Unlock()
	if first {
		s.logger.Warn("audit sink refused events, they are in quarantine",
			zap.Int("events", len(refusals)), zap.Error(err))
	}
	s.metrics.rejected.Add(float64(len(refusals)))
	return s.quarantine(part, refusals), true
}

// quarantine rejects the events with these indexes, and gives back the others.
func (s *Store) quarantine(part []*item, refusals map[int]Refusal) (rest []*item) {
	var offenders []*item
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, it := range part {
		r, offends := refusals[i]
		if !offends {
			rest = append(rest, it)
			continue
		}
		offenders = append(offenders, it)
		if !it.settled {
			event := it.event
			s.rejected.add(it.seq, Rejection{Reference: event.reference(), Code: r.Code, Reason: r.Reason}, &event)
		}
	}
	s.settle(offenders, true)
	return rest
}

// abandon declares lost what is still owed.
func (s *Store) abandon() {
	lost, sinkErr := s.lose()
	if lost == 0 {
		return
	}
	s.metrics.lost.Add(float64(lost))
	s.logger.Error("audit store closed before everything was stored",
		zap.Int("lost_events", lost), zap.Error(sinkErr))
}

// lose settles what is still owed as lost, and counts it.
func (s *Store) lose() (count int, sinkErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disarm()
	var lost []*item
	s.queue.owed(s.queue.last, func(it *item) {
		lost = append(lost, it)
		s.lost.add(it.seq, Rejection{Reference: it.event.reference()}, nil)
	})
	s.taken = s.queue.last
	s.unsentBytes = 0
	s.settle(lost, true)
	return len(lost), s.sinkErr
}

// kicksSoFar counts the flushes that began before an attempt: a later one is
// worth another attempt, because the sink may have recovered in between.
func (s *Store) kicksSoFar() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kicks
}

// pause waits before the next attempt. A flush that began after kicks was read
// ends it, so that a flush depends on no timer.
func (s *Store) pause(ctx context.Context, pause time.Duration, kicks uint64) {
	timer := s.clock.NewTimer(pause)
	defer timer.Stop()
	for s.kicksSoFar() == kicks {
		select {
		case <-timer.C():
			return
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// backoff doubles the pause with each failure and shortens it by up to a half
// at random, so that many stores do not come back together. A sink that says
// when to come back is not visited earlier, unless a flush begins.
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

// jitter is a random duration below most.
func (s *Store) jitter(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.random.Uint64() % uint64(max(most, 1))) //nolint:gosec // positive
}

// sinkFailed notes a failure, and logs the first of a row.
func (s *Store) sinkFailed(err error) {
	s.metrics.retries.Inc()
	s.mu.Lock()
	wasUp := s.sinkErr == nil
	s.sinkErr = err
	owed := s.queue.events
	s.mu.Unlock()
	if wasUp {
		s.logger.Warn("audit sink down, events stay owed", zap.Int("owed_events", owed), zap.Error(err))
	}
}

// sinkAnswered notes that the sink works, and logs it if it did not before.
func (s *Store) sinkAnswered() {
	s.mu.Lock()
	wasDown := s.sinkErr != nil
	s.sinkErr = nil
	owed := s.queue.events
	s.mu.Unlock()
	if wasDown {
		s.logger.Info("audit sink back", zap.Int("owed_events", owed))
	}
}
