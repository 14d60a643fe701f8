package audit

import "context"

// firstGoal is how many events make a full batch until the load says otherwise.
const firstGoal = 1000

// runDispatcher hands batches, oldest first, to deliveries, until the store is
// closed and owes nothing, or gives up.
func (s *Store) runDispatcher(ctx context.Context) {
	defer close(s.delivered)
	for {
		d := s.next(ctx)
		if d == nil {
			break
		}
		s.deliveries.Go(func() {
			s.deliver(ctx, d)
			s.landed(d)
		})
	}
	s.deliveries.Wait()
}

// next waits until a batch is due and takes it; nil when there is none to come.
func (s *Store) next(ctx context.Context) *delivery {
	for ctx.Err() == nil {
		s.mu.Lock()
		if s.backlog.unread > 0 {
			s.loseUnread()
			s.mu.Unlock()
			continue
		}
		if s.wantsLoad() && (s.loadAgain == nil || s.kicks != s.loadKicks) {
			s.loadKicks = s.kicks
			s.mu.Unlock()
			s.load()
			continue
		}
		if s.due() {
			looked := s.blockedTo
			if d := s.take(); d != nil {
				s.mu.Unlock()
				return d
			}
			if s.blockedTo != looked {
				s.mu.Unlock()
				continue // there may be others behind those passed over
			}
		}
		finished := s.closed && s.spoolDrained && s.waiting+s.backlog.events == 0
		s.mu.Unlock()
		if finished {
			return nil
		}
		select {
		case <-s.timer.C():
			s.expire()
		case <-s.loadAgain:
			s.loadAgain = nil
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// due says whether a batch should leave. While another is in flight, only a
// full one or one whose interval has passed does, so that many flushes share
// the next. A delivery that is stalled does not count: nobody knows when it will
// end. While the sink is down nothing new is tried. Called with the lock.
func (s *Store) due() bool {
	moving := s.inFlight - s.stalled
	if s.waiting == 0 || moving >= s.config.inFlight || s.sinkErr != nil && moving > 0 {
		return false
	}
	if s.full() {
		return true
	}
	oldest := s.oldestWaiting()
	return s.overdueTo >= oldest || moving == 0 && (s.closed || s.sendTo >= oldest)
}

// full says whether the waiting events make a full batch. Called with the lock.
func (s *Store) full() bool {
	return s.waiting >= s.goal || s.waitingBytes >= s.batchBytes
}

// oldestWaiting finds the first waiting event; there must be one. Called with the lock.
func (s *Store) oldestWaiting() uint64 {
	s.firstWaiting = max(s.firstWaiting, s.queue.low+1)
	s.queue.each(s.firstWaiting, s.queue.last, func(it *item) bool {
		s.firstWaiting = it.seq
		return it.state != itemWaiting
	})
	return s.firstWaiting
}

// maxPassed is how many events whose correlation id is in flight are passed
// over in the search for others: a long queue of one id must not make each
// batch cost a walk over all of it.
const maxPassed = 4096

// take takes the oldest waiting events but for those whose correlation id is
// in flight, and arms the interval timer for the first that stays behind; nil
// when all have to wait. Called with the lock.
func (s *Store) take() *delivery {
	d := &delivery{}
	bytes, passed := 0, 0
	s.queue.each(max(s.oldestWaiting(), s.blockedTo+1), s.queue.last, func(it *item) bool {
		switch {
		case it.state != itemWaiting:
		case s.isBusy(it.event.CorrelationID):
			if passed++; passed > maxPassed {
				return false
			}
		case len(d.batch) == s.goal || len(d.batch) > 0 && bytes+it.size > s.batchBytes:
			return false
		default:
			d.batch = append(d.batch, it)
			bytes += it.size
		}
		// It is taken, or has to wait for a batch to land, and need not be looked at before.
		s.blockedTo = it.seq
		return true
	})
	for _, it := range d.batch {
		it.state = itemTaken
		s.occupy(d, it.event.CorrelationID)
	}
	s.waiting -= len(d.batch)
	s.waitingBytes -= bytes
	s.armForRest()
	if len(d.batch) == 0 {
		return nil
	}
	s.inFlight++
	return d
}

// isBusy says whether a correlation id is in flight. Called with the lock.
func (s *Store) isBusy(correlationID string) bool {
	if s.inFlight == 0 {
		return false
	}
	_, busy := s.busy[correlationID]
	return busy
}

// occupy keeps a correlation id for a delivery. Called with the lock.
func (s *Store) occupy(d *delivery, correlationID string) {
	if n := len(d.correlationIDs); n > 0 && d.correlationIDs[n-1] == correlationID {
		return
	}
	if _, ours := s.busy[correlationID]; ours {
		return
	}
	s.busy[correlationID] = struct{}{}
	d.correlationIDs = append(d.correlationIDs, correlationID)
}

// armForRest lets the interval run of the oldest waiting event whose has not
// passed yet. Called with the lock.
func (s *Store) armForRest() {
	s.disarm()
	if s.waiting == 0 {
		return
	}
	now := s.clock.Now()
	s.queue.each(max(s.oldestWaiting(), s.overdueTo+1), s.queue.last, func(it *item) bool {
		if it.state != itemWaiting {
			return true
		}
		if left := s.interval - now.Sub(it.acceptedAt); left > 0 {
			s.arm(left)
			return false
		}
		s.overdueTo = it.seq
		return true
	})
}

// expire notes that the interval of the oldest waiting event has passed: what
// was accepted after it goes along.
func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	s.overdueTo = s.queue.last
}

// landed makes way for the next batch. The correlation ids of this one are
// free again, because each of its events is settled, or the store gave up.
func (s *Store) landed(d *delivery) {
	s.mu.Lock()
	for _, id := range d.correlationIDs {
		delete(s.busy, id)
	}
	s.inFlight--
	s.slots.wake()
	s.blockedTo = 0
	s.mu.Unlock()
	nudge(s.wake)
}
