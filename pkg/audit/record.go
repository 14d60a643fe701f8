package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Record accepts an event with the durability of its type: when it returns nil
// the store owes the event to the sink.
//
// The event is copied. Where they are zero the copy gets an ID, a Version and
// a Timestamp that is strictly later, by its microsecond, than those stamped
// before. In Memory durability Record waits for room at most, under the Wait
// policy, or for the disk while older events are there alone; Spooled waits for
// the disk, and Stored for the sink.
//
// The context bounds every wait. The errors are *ValidationError; ErrClosed;
// ErrFull, which wraps the context's error where Record waited for room; the
// context's error; ErrInDoubt where the event may have been kept nevertheless;
// and *RejectedError where the sink refused an event of Stored durability.
// After each of them but the last two the event is not accepted.
func (s *Store) Record(ctx context.Context, e *Event) error {
	if e == nil {
		return errors.New("record audit event: event is nil")
	}
	return s.record(ctx, e, s.durabilityOfType(e.Type))
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
	return s.record(ctx, e, durability)
}

func (s *Store) record(ctx context.Context, e *Event, durability Durability) error {
	if err := e.Validate(); err != nil {
		return err
	}
	event := s.events.copyOf(e)
	if event.Version == "" {
		event.Version = SchemaVersion
	}
	return s.admit(ctx, event, durability)
}

// admit waits for room, accepts the event in memory or through the spool, and
// waits for what its durability asks for. The event is the store's from here on.
func (s *Store) admit(ctx context.Context, event *Event, durability Durability) error {
	size := event.Footprint()
	now := s.clock.Now()
	s.mu.Lock()
	for {
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		if s.viaSpool(size, durability) {
			return s.admitViaSpool(ctx, &entry{event: event, size: size, withTime: event.Timestamp.IsZero(), strict: durability == Stored})
		}
		if s.fits(size) {
			break
		}
		if s.fullPolicy == Refuse {
			s.mu.Unlock()
			return ErrFull
		}
		if err := s.awaitRoom(ctx, &s.room, 0); err != nil {
			return err
		}
		now = s.clock.Now()
	}
	s.accept(event, size, now)
	var w *waiter
	if durability == Stored {
		w = s.wait(event)
	}
	s.mu.Unlock()
	if w != nil {
		return s.awaitStored(ctx, w)
	}
	return nil
}

// viaSpool says whether an event has to go to disk: because it shall be there,
// because there is no room in memory, or because older ones are there only, and
// would be overtaken. Called with the lock.
func (s *Store) viaSpool(size int, durability Durability) bool {
	return s.spool != nil && (durability == Spooled || s.backlog.events > 0 || s.fullPolicy == Spill && !s.fits(size))
}

// fits says whether the bounds allow one more event in memory. Called with the lock.
func (s *Store) fits(size int) bool {
	return s.queue.events < s.maxEvents && s.queue.bytes+size <= s.maxBytes
}

// awaitRoom waits until there may be room, or for a while at most where that is
// positive. It makes the sender hurry: the events that fill the store must not
// wait for their interval while somebody waits for room. Called with the lock,
// and returns with it if there is no error.
func (s *Store) awaitRoom(ctx context.Context, list *waitlist, while time.Duration) error {
	room := list.join()
	s.sendTo = s.last()
	s.mu.Unlock()
	nudge(s.wake)
	s.observer(MomentWaitingForRoom, 1)

	var passed <-chan time.Time
	if while > 0 {
		timer := s.clock.NewTimer(while)
		defer timer.Stop()
		passed = timer.C()
	}
	select {
	case <-room:
	case <-passed:
	case <-ctx.Done():
		return fmt.Errorf("record audit event: %w: %w", ErrFull, ctx.Err())
	}
	s.mu.Lock()
	return nil
}

// accept stamps an event and queues it. Called with the lock, so that the
// order of acceptance is the order of sequence numbers, stamps and ids.
func (s *Store) accept(event *Event, size int, now time.Time) {
	s.stamp(event, now, event.Timestamp.IsZero())
	s.accepted(s.queue.push(event, size, 0, now))
}

// stamp gives an event what it still lacks, and its place in the store's life.
// Called with the lock.
func (s *Store) stamp(event *Event, now time.Time, withTime bool) {
	stamp := now.UTC().Truncate(time.Microsecond)
	if !stamp.After(s.lastStamp) && s.lastStamp.Sub(stamp) < clockSetBack {
		stamp = s.lastStamp.Add(time.Microsecond)
	}
	s.lastStamp = stamp
	s.produced++
	if event.ID == uuid.Nil {
		event.ID = newID(stamp, s.random)
	}
	if withTime {
		event.Timestamp = stamp
	} else {
		event.Timestamp = event.Timestamp.UTC().Truncate(time.Microsecond)
	}
	event.Producer = Producer{ID: s.producerID, Epoch: s.epoch, Sequence: s.produced}
}

// accepted makes a queued event wait for its batch. Called with the lock.
func (s *Store) accepted(it *item) {
	wasFull := s.full()
	s.waiting++
	s.waitingBytes += it.size
	if !s.armed {
		s.arm(s.interval)
	}
	if it.seq <= s.sendTo || !wasFull && s.full() {
		nudge(s.wake)
	}
	s.metrics.accepted.Inc()
}

// waiter waits until one event is settled.
type waiter struct {
	// place is the event's in the store's life: its id would not do, because
	// another event may wrongly have the same.
	place Producer
	name  Reference
	// position is that of an event that is on disk only, until it is read back.
	position uint64
	// done is closed when the event is settled.
	done chan struct{}
	// rejection says why the event will not be stored, lost that the store gave up.
	rejection *Rejection
	lost      bool
}

// wait registers a Record call that waits for an event. Called with the lock.
func (s *Store) wait(event *Event) *waiter {
	if s.waiters == nil {
		s.waiters = make(map[Producer]*waiter)
	}
	w := &waiter{place: event.Producer, name: event.reference(), done: make(chan struct{})}
	s.waiters[w.place] = w
	return w
}

// awaitStored waits until the sink has stored an accepted event.
func (s *Store) awaitStored(ctx context.Context, w *waiter) error {
	s.mu.Lock()
	s.sendTo = s.last()
	s.mu.Unlock()
	nudge(s.wake)
	s.observer(MomentWaitingForStored, 1)

	select {
	case <-w.done:
	default:
		select {
		case <-w.done:
		case <-s.over:
			s.mu.Lock()
			s.answer(w.place, nil, true)
			s.mu.Unlock()
			<-w.done
		case <-ctx.Done():
			s.mu.Lock()
			delete(s.waiters, w.place)
			s.mu.Unlock()
			return fmt.Errorf("record audit event %s %s: %w: the sink has not stored it yet: %w", w.name.Type, w.name.ID, ErrInDoubt, ctx.Err())
		}
	}
	switch {
	case w.rejection != nil:
		return &RejectedError{Rejection: *w.rejection}
	case w.lost:
		return fmt.Errorf("record audit event %s %s: %w: %w, or the spool was damaged, before the sink had stored it",
			w.name.Type, w.name.ID, ErrInDoubt, ErrClosed)
	default:
		return nil
	}
}

// answer tells the Record call that waits for an event, if there is one. Called with the lock.
func (s *Store) answer(place Producer, rejection *Rejection, lost bool) {
	w, ok := s.waiters[place]
	if !ok {
		return
	}
	w.rejection, w.lost = rejection, lost
	delete(s.waiters, place)
	close(w.done)
}
