package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/internal/waitlist"
)

// Recorder records audit events. A *Store is one; programs that depend on the
// interface can be tested without a store.
type Recorder interface {
	// Record accepts an event, or returns an error that says why not; see Store.Record.
	Record(ctx context.Context, e *Event) error
}

var _ Recorder = (*Store)(nil)

// Record accepts an event with the durability of its type: when it returns nil,
// the event is pending until it is stored or rejected.
//
// The event is copied. Where they are zero, the copy gets an ID, a Version, the
// Data {} and a Timestamp that is strictly later, by its microsecond, than those stamped
// before. With Memory durability, Record blocks only when the store is full and
// the policy is Wait, or when older events exist only on disk, so that this one
// must be spooled behind them. With Spooled it waits for the disk, with Stored
// for the sink.
//
// The context bounds every wait. The errors are *ValidationError; ErrClosed;
// ErrFull, which names the bound and wraps the context's error if Record waited
// for capacity; the context's error; ErrInDoubt if the event may have been
// persisted nevertheless; and *RejectedError if the sink rejected an event of
// Stored durability. After each of them but the last two the event is not
// accepted.
func (s *Store) Record(ctx context.Context, e *Event) error {
	if e == nil {
		return errors.New("record audit event: event is nil")
	}
	return s.counted(s.record(ctx, e, s.durabilityOfType(e.Type)))
}

// counted counts an event that was not accepted.
func (s *Store) counted(err error) error {
	if err != nil {
		s.metrics.refused(err)
	}
	return err
}

// RecordWith is Record with a durability for this one event.
func (s *Store) RecordWith(ctx context.Context, e *Event, durability Durability) error {
	switch {
	case e == nil:
		return errors.New("record audit event: event is nil")
	case durability < Memory || durability > Stored:
		return fmt.Errorf("record audit event: durability %v: must be memory, spooled or stored", durability)
	case durability == Spooled && s.spool == nil:
		return fmt.Errorf("record audit event: %w", needsSpool(durability))
	}
	return s.counted(s.record(ctx, e, durability))
}

// emptyData is what an event without data has.
var emptyData = json.RawMessage("{}")

func (s *Store) record(ctx context.Context, e *Event, durability Durability) error {
	if len(e.Data) == 0 {
		filled := *e
		filled.Data = emptyData
		e = &filled
	}
	if err := e.Validate(); err != nil {
		return err
	}
	event := s.events.copyOf(e)
	if event.Version == "" {
		event.Version = SchemaVersion
	}
	return s.admit(ctx, event, durability)
}

// admit waits for capacity, accepts the event in memory or through the spool,
// and waits for what its durability asks for. It takes over the event's memory.
func (s *Store) admit(ctx context.Context, event *Event, durability Durability) error {
	size := event.Footprint()
	now := s.clock.Now()
	s.mu.Lock()
	for {
		if s.life.phase >= closing {
			s.mu.Unlock()
			return ErrClosed
		}
		if s.viaSpool(size, durability) {
			return s.admitViaSpool(ctx, &entry{
				event: event, name: event.reference(), size: size,
				withTime: event.Timestamp.IsZero(), strict: durability == Stored,
			})
		}
		if s.queue.Fits(size) {
			break
		}
		full := s.memoryFull(size)
		if s.fullPolicy == Refuse {
			s.mu.Unlock()
			return recordError(event.reference(), full)
		}
		if err := s.awaitCapacity(ctx, &s.capacity, 0); err != nil {
			return recordError(event.reference(), fmt.Errorf("%w: %w", full, err))
		}
		now = s.clock.Now()
	}
	s.accept(event, size, now)
	var w *waiter
	if durability == Stored {
		w = s.waiters.add(event)
	}
	s.mu.Unlock()
	if w != nil {
		return s.awaitStored(ctx, w)
	}
	return nil
}

// recordError says which event an error is about.
func recordError(event Reference, err error) error {
	if event.ID == uuid.Nil { // it gets its id when it is accepted
		return fmt.Errorf("record audit event %s of %q: %w", event.Type, event.CorrelationID, err)
	}
	return fmt.Errorf("record audit event %s %s of %q: %w", event.Type, event.ID, event.CorrelationID, err)
}

// memoryFull says which bound leaves no room for an event. Called with the lock.
func (s *Store) memoryFull(size int) error {
	if s.queue.FreeEvents() == 0 {
		return fmt.Errorf("%w: %d of %d events are pending", ErrFull, s.queue.Events(), s.maxEvents)
	}
	return fmt.Errorf("%w: %d of %d bytes are pending, the event takes %d", ErrFull, s.queue.Bytes(), s.maxBytes, size)
}

// viaSpool reports whether an event has to go to disk: because it shall be
// there, because it does not fit into memory, or because older ones are there
// only, and would be overtaken. Called with the lock.
func (s *Store) viaSpool(size int, durability Durability) bool {
	return s.spool != nil && (durability == Spooled || s.backlog.Events > 0 || s.fullPolicy == Spill && !s.queue.Fits(size))
}

// awaitCapacity waits until there may be capacity, or for a while at most where
// that is positive. It hurries the dispatcher: the events that fill the store
// must not wait for their interval meanwhile. Called with the lock, and returns
// with it unless the error, which is the context's, is non-nil.
func (s *Store) awaitCapacity(ctx context.Context, list *waitlist.List, while time.Duration) error {
	capacity := list.Join()
	s.window.Hurry(s.last())
	s.mu.Unlock()
	nudge(s.wake)
	s.hook(HookWaitingForCapacity, 1)

	var passed <-chan time.Time
	if while > 0 {
		timer := s.clock.NewTimer(while)
		defer timer.Stop()
		passed = timer.C()
	}
	select {
	case <-capacity:
	case <-passed:
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
	s.mu.Lock()
	return nil
}

// accept stamps an event and queues it. Called with the lock.
func (s *Store) accept(event *Event, size int, now time.Time) {
	s.stamp(event, now, event.Timestamp.IsZero())
	s.accepted(s.queue.Push(event, event.CorrelationID, size, 0, s.since(now)))
}

// accepted makes a queued event wait for its batch. Called with the lock.
func (s *Store) accepted(it *item) {
	arm, wake := s.window.Add(it)
	if arm {
		s.timer.Reset(s.interval)
	}
	if wake {
		nudge(s.wake)
	}
	s.metrics.accepted.Inc()
}
