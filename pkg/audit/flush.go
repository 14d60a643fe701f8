package audit

import (
	"context"
	"errors"
	"slices"
)

// Receipt is the proof that a flush gives.
type Receipt struct {
	// Barrier is the position in the sequence of accepted events that the flush covered.
	Barrier uint64 `json:"barrier"`
	// Events is how many events the flush waited for.
	Events int `json:"events"`
	// ConsistencyToken can be passed to a query as at_least; empty where nothing was ever acknowledged.
	ConsistencyToken string `json:"consistency_token"`
}

// barrier is what flushes of the same events share.
type barrier struct {
	// all covers every correlation id.
	all           bool
	correlationID string
	// seq is the newest covered event.
	seq uint64
	// remaining counts the covered events that are not settled.
	remaining int
	// failed counts the covered events that settled without being stored.
	failed int
	// others counts the events of other correlation ids that remained only until
	// they were read back from the spool.
	others int
	// callers count the flushes that wait.
	callers int
	// done is closed when nothing remains.
	done chan struct{}
}

// covers says whether an event counts for the barrier.
func (b *barrier) covers(seq uint64, correlationID string) bool {
	return seq <= b.seq && (b.all || b.correlationID == correlationID)
}

// ticket is one flush's share of a barrier: what the barrier looked like when it joined.
type ticket struct {
	*barrier

	// events were not settled, failedBefore had failed, othersBefore were others.
	events, failedBefore, othersBefore int
}

// concerned counts the events that the flush waited for.
func (t ticket) concerned() int { return t.events - (t.others - t.othersBefore) }

// Flush returns a receipt, and nil if and only if every event accepted before
// the call is stored, and no rejected or lost event waits to be acknowledged.
// Every other answer is a *FlushError, which wraps the context's error when
// that ended first; nothing is lost by that. Flush depends on no timer, makes
// no request when nothing is owed, and shares its writes with other flushes.
// It does not wait for events that are accepted during the call. A rejection or
// loss that somebody acknowledges during the call is not reported.
func (s *Store) Flush(ctx context.Context) (Receipt, error) {
	return s.flush(ctx, "", true)
}

// FlushFor is Flush for the events of one correlation id: it waits for, and
// reports on, these alone. Only when more failures piled up than the
// quarantine can attribute, it reports those of others as well, rather than
// prove too much.
func (s *Store) FlushFor(ctx context.Context, correlationID string) (Receipt, error) {
	if correlationID == "" {
		return Receipt{}, errors.New("flush audit events: correlation id is empty")
	}
	return s.flush(ctx, correlationID, false)
}

func (s *Store) flush(ctx context.Context, correlationID string, all bool) (Receipt, error) {
	started := s.clock.Now()
	s.mu.Lock()
	if s.owed()+s.rejected.count()+s.lost.count() == 0 {
		receipt := Receipt{Barrier: s.last(), ConsistencyToken: s.token}
		s.mu.Unlock()
		s.metrics.flushed(nil, s.clock.Since(started))
		return receipt, nil
	}
	t := s.join(correlationID, all)
	s.mu.Unlock()

	err := s.await(ctx, t)

	s.mu.Lock()
	s.leave(t)
	receipt := Receipt{Barrier: t.seq, Events: t.concerned(), ConsistencyToken: s.token}
	failure := s.report(t, err)
	s.mu.Unlock()
	s.metrics.flushed(failure, s.clock.Since(started))
	if failure != nil {
		return receipt, failure
	}
	return receipt, nil
}

// join finds or makes the barrier for everything accepted so far, and lets the
// sender hurry. Called with the lock.
func (s *Store) join(correlationID string, all bool) ticket {
	b := s.sharedBarrier(correlationID, all)
	if b == nil {
		b = s.newBarrier(correlationID, all)
	}
	b.callers++
	if b.remaining > 0 {
		s.sendTo = max(s.sendTo, b.seq)
		s.kick()
		nudge(s.wake)
	}
	return ticket{barrier: b, events: b.remaining, failedBefore: b.failed, othersBefore: b.others}
}

// newBarrier makes a barrier at the newest event. Called with the lock.
func (s *Store) newBarrier(correlationID string, all bool) *barrier {
	b := &barrier{all: all, correlationID: correlationID, seq: s.last(), done: make(chan struct{})}
	if all {
		b.remaining = s.owed()
	} else {
		// Any event on disk may be one of them, until it is read. In memory a
		// scan, because an index by correlation id would cost every Record
		// what only a flush that has to wait anyway gains.
		b.remaining = s.backlog.events
		s.queue.owed(b.seq, func(it *item) {
			if it.event.CorrelationID == correlationID {
				b.remaining++
			}
		})
	}
	switch {
	case b.remaining == 0:
		close(b.done)
	case all:
		s.barriers = append(s.barriers, b)
	default:
		s.barriersFor[correlationID] = append(s.barriersFor[correlationID], b)
	}
	return b
}

// sharedBarrier finds a barrier that other flushes already wait at. Barriers
// are in the order of their sequence numbers. Called with the lock.
func (s *Store) sharedBarrier(correlationID string, all bool) *barrier {
	same := s.barriers
	if !all {
		same = s.barriersFor[correlationID]
	}
	if n := len(same); n > 0 && same[n-1].seq == s.last() {
		return same[n-1]
	}
	return nil
}

// await waits for the barrier; its error is the context's.
func (s *Store) await(ctx context.Context, t ticket) error {
	select {
	case <-t.done:
		return nil
	default:
	}
	s.observer(MomentWaitingForFlush, t.events)
	select {
	case <-t.done:
		return nil
	case <-s.over:
		// The store gave up: what is still owed is in the spool, for its next life.
		select {
		case <-t.done:
			return nil
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // becomes FlushError.Cause
	}
}

// leave forgets a barrier that nobody waits for any more. Called with the lock.
func (s *Store) leave(t ticket) {
	t.callers--
	if t.callers == 0 && t.remaining > 0 {
		gone := func(b *barrier) bool { return b == t.barrier }
		if t.all {
			s.barriers = slices.DeleteFunc(s.barriers, gone)
		} else {
			s.keepBarriersFor(t.correlationID, slices.DeleteFunc(s.barriersFor[t.correlationID], gone))
		}
	}
}

// report says what keeps a flush from being a proof, or nil. Called with the lock.
func (s *Store) report(t ticket, cause error) *FlushError {
	e := &FlushError{
		Events:          t.concerned(),
		Stored:          t.concerned() - t.remaining - (t.failed - t.failedBefore),
		Pending:         t.remaining,
		Rejected:        s.rejected.of(t.barrier),
		RejectedUnnamed: s.rejected.overflow.unnamed(t.barrier),
		LostUnnamed:     s.lost.overflow.unnamed(t.barrier),
	}
	for _, l := range s.lost.of(t.barrier) {
		e.Lost = append(e.Lost, l.Reference)
	}
	owing := e.Pending > 0
	lost := len(e.Lost)+e.LostUnnamed > 0
	if !owing && !lost && len(e.Rejected)+e.RejectedUnnamed == 0 {
		return nil
	}
	if owing || lost {
		e.SinkError, e.SpoolError = s.writeErr, s.spoolErr
		if e.SpoolError == nil {
			e.SpoolError = s.quarantineErr
		}
		e.Cause = cause
	}
	if owing {
		inMemory := 0
		s.queue.owed(t.seq, func(it *item) {
			if !t.covers(it.seq, it.event.CorrelationID) {
				return
			}
			if it.position == 0 {
				inMemory++
			}
			if len(e.PendingEvents) < maxNamed {
				e.PendingEvents = append(e.PendingEvents, it.event.reference())
			}
		})
		e.Spooled = e.Pending - inMemory
	}
	return e
}

// settling says how events leave the queue; the zero value means that they are stored.
type settling struct {
	// rejected are the events of the same index, where they were rejected.
	rejected []Quarantined
	// lost says that the store gave up.
	lost bool
}

// settle takes items out of the queue and off the barriers. A failed item is
// already among the rejected or the lost. Called with the lock.
func (s *Store) settle(items []*item, how settling) {
	if s.gaveUp && !how.lost {
		return // a write that outlived the store: its events are reported already
	}
	failed := how.lost || how.rejected != nil
	for i, it := range items {
		if it.state == itemSettled {
			continue
		}
		pass(s.barriers, it.seq, failed)
		if len(s.barriersFor) > 0 {
			pass(s.barriersFor[it.event.CorrelationID], it.seq, failed)
		}
		if len(s.waiters) > 0 {
			var rejection *Rejection
			if how.rejected != nil {
				rejection = &how.rejected[i].Rejection
			}
			s.answer(it.event.Producer, rejection, how.lost)
		}
		if it.state == itemWaiting {
			s.waiting--
			s.waitingBytes -= it.size
		}
		s.queue.settle(it)
	}
	s.openBarriers()
	s.wakeRecorders()
	if s.spool != nil {
		nudge(s.spoolWake)
	}
}

// pass takes a settled event off the barriers that cover it.
func pass(barriers []*barrier, seq uint64, failed bool) {
	for _, b := range barriers {
		if seq > b.seq {
			continue
		}
		b.remaining--
		if failed {
			b.failed++
		}
	}
}

// everyBarrier lists the barriers of both kinds. Called with the lock.
func (s *Store) everyBarrier() []*barrier {
	all := slices.Clone(s.barriers)
	for _, of := range s.barriersFor {
		all = append(all, of...)
	}
	return all
}

// openBarriers lets those go on at whose barriers nothing remains. Called with the lock.
func (s *Store) openBarriers() {
	open := func(b *barrier) bool {
		if b.remaining > 0 {
			return false
		}
		close(b.done)
		return true
	}
	s.barriers = slices.DeleteFunc(s.barriers, open)
	for id, of := range s.barriersFor {
		s.keepBarriersFor(id, slices.DeleteFunc(of, open))
	}
}

func (s *Store) keepBarriersFor(correlationID string, left []*barrier) {
	if len(left) == 0 {
		delete(s.barriersFor, correlationID)
		return
	}
	s.barriersFor[correlationID] = left
}
