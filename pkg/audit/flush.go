package audit

import (
	"context"
	"errors"

	"kubernaut.ai/pkg/audit/internal/barriers"
	"kubernaut.ai/pkg/audit/internal/failures"
	"kubernaut.ai/pkg/audit/internal/queue"
)

// Receipt is the proof that a flush gives.
type Receipt struct {
	// Barrier is the position in the sequence of accepted events that the flush covered.
	Barrier uint64 `json:"barrier"`
	// Events is how many events the flush waited for.
	Events int `json:"events"`
	// ConsistencyToken can be passed to a query as at_least; empty if nothing was ever acknowledged.
	ConsistencyToken string `json:"consistency_token"`
}

// Flush returns a receipt, and nil if and only if every event accepted before
// the call is stored, and no rejected or lost event waits to be acknowledged.
// Every other answer is a *FlushError, which wraps the context's error if that
// ended first; nothing is lost by that. Flush depends on no timer, makes no
// request when nothing is pending, and shares its writes with other flushes. It
// does not wait for events that are accepted during the call. A rejection or
// loss that somebody acknowledges during the call is not reported.
func (s *Store) Flush(ctx context.Context) (Receipt, error) {
	return s.flush(ctx, barriers.Everything)
}

// FlushFor is Flush for the events of one correlation id: it waits for, and
// reports on, these alone. Only when more failures piled up than the quarantine
// can attribute, it reports those of others as well, rather than prove too much.
func (s *Store) FlushFor(ctx context.Context, correlationID string) (Receipt, error) {
	if correlationID == "" {
		return Receipt{}, errors.New("flush audit events: correlation id is empty")
	}
	return s.flush(ctx, correlationID)
}

func (s *Store) flush(ctx context.Context, correlationID string) (Receipt, error) {
	started := s.clock.Now()
	s.mu.Lock()
	if s.pending()+s.rejected.Count()+s.lost.Count() == 0 {
		receipt := Receipt{Barrier: s.last(), ConsistencyToken: s.token}
		s.mu.Unlock()
		s.metrics.flushed(nil, s.clock.Since(started))
		return receipt, nil
	}
	t := s.join(ctx, correlationID)
	s.mu.Unlock()

	err := s.await(ctx, t)

	s.mu.Lock()
	s.barriers.Leave(t)
	receipt := Receipt{Barrier: t.Seq, Events: t.Events(), ConsistencyToken: s.token}
	failure := s.report(t, err)
	s.mu.Unlock()
	s.metrics.flushed(failure, s.clock.Since(started))
	if failure != nil {
		return receipt, failure
	}
	return receipt, nil
}

// join finds or makes the barrier for everything accepted so far, and hurries
// the dispatcher. Called with the lock.
func (s *Store) join(ctx context.Context, correlationID string) barriers.Ticket {
	t := s.barriers.Join(correlationID, s.last(), func() int {
		if correlationID == barriers.Everything {
			return s.pending()
		}
		// Any event on disk may be one of them, until it is read. In memory a
		// scan, because an index by correlation id would cost every Record what
		// only a flush that has to wait anyway gains.
		remaining := s.backlog.Events
		s.queue.Pending(s.queue.Last(), func(it *item) {
			if it.CorrelationID == correlationID {
				remaining++
			}
		})
		return remaining
	})
	if t.Remaining > 0 {
		s.window.Hurry(t.Seq)
		s.kick(ctx)
		nudge(s.wake)
	}
	return t
}

// await waits for the barrier; its error is the context's, or ErrClosed.
func (s *Store) await(ctx context.Context, t barriers.Ticket) error {
	select {
	case <-t.Done:
		return nil
	default:
	}
	s.hook(HookWaitingForFlush, t.AtJoin())
	select {
	case <-t.Done:
		return nil
	case <-s.life.reached[ended]:
		// What is still pending is in the spool, for the next process.
		select {
		case <-t.Done:
			return nil
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // becomes FlushError.Cause
	}
}

// report says what keeps a flush from being a proof, or nil. Called with the lock.
func (s *Store) report(t barriers.Ticket, cause error) *FlushError {
	e := &FlushError{Events: t.Events(), Stored: t.Stored(), Pending: t.Remaining}
	var rejected []Quarantined
	rejected, e.RejectedUnnamed = s.rejected.Concerning(t.Barrier)
	for i := range rejected {
		e.Rejected = append(e.Rejected, rejected[i].Rejection)
	}
	e.Lost, e.LostUnnamed = s.lost.Concerning(t.Barrier)
	pending := e.Pending > 0
	lost := len(e.Lost)+e.LostUnnamed > 0
	if !pending && !lost && len(e.Rejected)+e.RejectedUnnamed == 0 {
		return nil
	}
	if pending || lost {
		e.SinkError, e.SpoolError = s.health.WriteErr(), s.disk.err()
		e.Cause = cause
	}
	if pending {
		s.reportPending(e, t)
	}
	e.RejectedPersisted = s.spool != nil // quarantined on disk before they are reported
	return e
}

// reportPending names the pending events that a flush covers. Called with the lock.
func (s *Store) reportPending(e *FlushError, t barriers.Ticket) {
	inMemory := 0
	s.queue.Pending(t.Seq, func(it *item) {
		if !t.Covers(it.Seq, it.CorrelationID) {
			return
		}
		if it.Position == 0 {
			inMemory++
		}
		if it.Aside {
			s.reportStalled(e, it)
		}
		if len(e.PendingEvents) < failures.MaxNamed {
			e.PendingEvents = append(e.PendingEvents, it.Event.reference())
		}
	})
	e.Spooled = e.Pending - inMemory
}

// outcome says how events become terminal; the zero value means that they are stored.
type outcome struct {
	// rejected are the events of the same index, if they were rejected.
	rejected []Quarantined
	// lost says that the store gave up.
	lost bool
}

// finish makes items terminal: it takes them out of the queue and off the
// barriers. A failed item is already among the rejected or the lost. Called with
// the lock, and before the phase delivered unless they are lost.
func (s *Store) finish(items []*item, how outcome) {
	failed := how.lost || how.rejected != nil
	for i, it := range items {
		if it.State == queue.Terminal {
			continue
		}
		s.barriers.Pass(it.Seq, it.CorrelationID, failed)
		if s.waiters.any() {
			var rejection *Rejection
			if how.rejected != nil {
				rejection = &how.rejected[i].Rejection
			}
			s.waiters.answer(it.Event.Producer, rejection, how.lost)
		}
		if it.State == queue.Waiting {
			s.window.Remove(it)
		}
		if it.Aside {
			s.stalled.forget(it.Seq, it.Size)
		}
		s.queue.Finish(it)
	}
	s.barriers.Open()
	s.wakeRecorders()
	if s.spool != nil {
		nudge(s.spoolWake)
	}
}
