package audit

import (
	"context"
	"errors"
	"fmt"

	"kubernaut.ai/pkg/audit/internal/commitgroup"
	"kubernaut.ai/pkg/audit/internal/queue"
)

// entry is an event on its way to the spool.
type entry struct {
	event *Event
	// name is the event's as of the last attempt: once it is stored, its memory
	// may be another event's.
	name Reference
	size int
	// withTime says that the store stamps the event, anew with each attempt.
	withTime bool
	// releases is the count of releases at the last attempt.
	releases uint64
	// strict says that its Record waits until it is stored; waiter is made with
	// the attempt.
	strict bool
	waiter *waiter
}

type group = commitgroup.Group[*entry]

// admitViaSpool accepts an event through the spool, waits for room there if the
// policy says so, and for what its durability asks for. Called with the lock,
// returns without it.
func (s *Store) admitViaSpool(ctx context.Context, e *entry) error {
	for {
		for !s.commits.Fits(e.size) {
			if err := s.awaitCapacity(ctx, s.commits.Capacity(), 0); err != nil {
				return recordError(e.name, fmt.Errorf("%w: more than %d bytes wait for the disk: %w", ErrFull, commitgroup.MaxBytes, err))
			}
		}
		if s.life.phase >= closing {
			s.mu.Unlock()
			return ErrClosed
		}
		err := s.spoolOne(ctx, e)
		if s.fullPolicy == Refuse || !errors.Is(err, ErrFull) {
			return err
		}
		s.mu.Lock()
		if e.releases != s.commits.Releases() || s.life.phase >= closing {
			continue // there is room since the attempt, or will be none
		}
		// The room may be taken by somebody else than this store, whose leaving nobody announces.
		if ctxErr := s.awaitCapacity(ctx, &s.capacity, s.firstBackoff); ctxErr != nil {
			return fmt.Errorf("%w: %w", err, ctxErr)
		}
	}
}

// spoolOne tries once. Called with the lock, returns without it.
func (s *Store) spoolOne(ctx context.Context, e *entry) error {
	g := s.commits.Join(e, e.size)
	s.mu.Unlock()
	nudge(s.spoolWake)
	s.hook(HookWaitingForSpool, 1)

	if err := s.awaitSpool(ctx, g, e); err != nil {
		return recordError(e.name, err)
	}
	if e.strict {
		return s.awaitStored(ctx, e.waiter)
	}
	return nil
}

// awaitSpool waits for the group. An event that nobody has begun to write when
// the context ends is taken back.
func (s *Store) awaitSpool(ctx context.Context, g *group, e *entry) error {
	select {
	case <-g.Done:
		return g.Err
	default:
	}
	select {
	case <-g.Done:
		return g.Err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-g.Done:
		return g.Err
	default:
	}
	if s.commits.Leave(g, e.size, func(other *entry) bool { return other == e }) {
		return fmt.Errorf("wait for the spool: %w", ctx.Err())
	}
	e.strict = false // nobody waits any more
	if e.waiter != nil {
		s.waiters.drop(e.waiter.producer)
	}
	return fmt.Errorf("%w: wait for the spool: %w", ErrInDoubt, ctx.Err())
}

// runSpooler is the only goroutine that appends to the spool, releases its room
// and closes it.
func (s *Store) runSpooler() {
	for s.spoolOnce() {
	}
	s.advance(drained)
	nudge(s.wake)
	<-s.life.reached[delivered]
	s.closeSpool()
	s.end()
}

// spoolOnce writes a group, or releases room, or waits. It reports whether there
// may be more to do.
func (s *Store) spoolOnce() bool {
	s.mu.Lock()
	g := s.takeGroup()
	terminal := s.queue.LowPosition()
	release := s.commits.NextRelease(terminal)
	closed := s.life.phase >= closing
	s.mu.Unlock()

	if g != nil {
		s.commit(g, terminal)
	}
	if release {
		s.release(terminal)
	}
	moved := !closed && s.moveStalled()
	if g == nil && !release && !moved {
		if closed {
			return false
		}
		<-s.spoolWake
	}
	return true
}

// takeGroup stamps the events of the next group, in the order in which they will
// be persisted. Called with the lock.
func (s *Store) takeGroup() *group {
	g := s.commits.Take()
	if g == nil {
		return nil
	}
	now := s.clock.Now()
	for _, e := range g.Entries {
		e.releases = s.commits.Releases()
		s.stamp(e.event, now, e.withTime)
		e.name = e.event.reference()
		if e.strict {
			e.waiter = s.waiters.add(e.event)
		}
	}
	return g
}

// commit persists a group and accepts its events.
func (s *Store) commit(g *group, terminal uint64) {
	events := make([]Event, len(g.Entries))
	bytes := 0
	for i, e := range g.Entries {
		events[i] = *e.event
		bytes += e.size
	}
	started := s.clock.Now()
	first, err := s.spool.Append(events, terminal)
	if err == nil {
		s.metrics.spooled(len(events), s.clock.Since(started))
	}

	s.mu.Lock()
	s.commits.Confirm(bytes)
	if err == nil {
		for i, e := range g.Entries {
			s.acceptSpooled(e, first+uint64(i))
		}
	} else {
		s.unstamp(g, err)
	}
	s.mu.Unlock()
	s.noteSpool(err)

	switch {
	case err == nil:
		s.hook(HookSpooled, len(events))
	case errors.Is(err, ErrFull):
		g.Err = err
	default:
		g.Err = fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	close(g.Done)
}

// acceptSpooled accepts an event that is on disk: in memory as well, if it fits
// and no older one is on disk only. Called with the lock.
func (s *Store) acceptSpooled(e *entry, position uint64) {
	now := s.since(s.clock.Now())
	if s.backlog.Events == 0 && s.queue.Fits(e.size) {
		s.accepted(s.queue.Push(e.event, e.event.CorrelationID, e.size, position, now))
		return
	}
	s.backlog.Add(position, e.size, now)
	if e.waiter != nil {
		e.waiter.position = position
	}
	s.metrics.accepted.Inc()
	s.metrics.spilled.Inc()
	if s.window.Hurried(s.last()) || s.wantsLoad() {
		nudge(s.wake)
	}
}

// unstamp takes back the numbers of a group that was not persisted. Called with the lock.
func (s *Store) unstamp(g *group, err error) {
	for _, e := range g.Entries {
		s.waiters.drop(e.event.Producer)
	}
	if errors.Is(err, ErrFull) { // else it may come back
		s.stamps.unstamp(len(g.Entries), g.Entries[len(g.Entries)-1].event.Producer.Sequence)
	}
}

// release tells the spool what it may forget. What it does not forget is sent
// once more after a restart, which does no harm.
func (s *Store) release(upTo uint64) {
	if err := s.spool.Release(upTo); err != nil {
		s.noteSpool(err)
	}
	s.mu.Lock()
	s.commits.Released()
	s.wakeRecorders()
	s.mu.Unlock()
	s.hook(HookReleased, 0)
}

// closeSpool persists what is in memory only, so that it is not lost with the
// process, and closes the spool.
func (s *Store) closeSpool() {
	s.mu.Lock()
	// From here on a write that ends has its events sent again by the next
	// process, rather than release what was not sent.
	terminal := s.queue.LowPosition()
	var items []*item
	var events []Event
	s.queue.Pending(s.queue.Last(), func(it *item) {
		if it.Position == 0 {
			items = append(items, it)
			events = append(events, *it.Event)
		}
	})
	s.mu.Unlock()

	if err := s.spill(items, events, terminal); err != nil {
		s.noteSpool(err)
	}
	s.declareLost()
	err := s.spool.Release(terminal)
	if closeErr := s.spool.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		s.mu.Lock()
		s.life.err = fmt.Errorf("close the audit spool: %w", err)
		s.mu.Unlock()
	}
}

// spill persists events that are in memory only.
func (s *Store) spill(items []*item, events []Event, terminal uint64) error {
	for len(items) > 0 {
		n := 0
		for bytes := 0; n < len(items) && bytes < commitgroup.MaxBytes; n++ {
			bytes += events[n].Footprint()
		}
		first, err := s.spool.Append(events[:n], terminal)
		if err != nil {
			return fmt.Errorf("spill %d events: %w", len(items), err)
		}
		s.mu.Lock()
		for i, it := range items[:n] {
			if it.State != queue.Terminal { // else declared lost, because it took too long
				it.Position = first + uint64(i)
			}
		}
		s.mu.Unlock()
		s.metrics.spilled.Add(float64(n))
		items, events = items[n:], events[n:]
	}
	return nil
}
