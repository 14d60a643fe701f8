package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
)

// maxGroupBytes is how much of the events that are not confirmed by the spool
// yet a store holds in memory, beside its bounds.
const maxGroupBytes = 4 << 20

// group is what shares one write to the spool, and its fsync.
type group struct {
	entries []*entry
	// done is closed when the events are kept and accepted, or err says why not.
	done chan struct{}
	err  error
}

// entry is one event of a group.
type entry struct {
	event *Event
	size  int
	// withTime says that the store stamps the event, anew with each attempt.
	withTime bool
	// releases are the store's as of the attempt.
	releases uint64
	// strict says that its Record waits until it is stored; waiter is made with the attempt.
	strict bool
	waiter *waiter
}

// joinGroup puts an event into the next group. Called with the lock.
func (s *Store) joinGroup(e *entry) *group {
	if s.group == nil {
		s.group = &group{done: make(chan struct{})}
	}
	s.group.entries = append(s.group.entries, e)
	s.onWay += e.size
	return s.group
}

// admitViaSpool accepts an event through the spool, waits for room there if the
// policy says so, and for what its durability asks for. Called with the lock,
// returns without it.
func (s *Store) admitViaSpool(ctx context.Context, e *entry) error {
	for {
		for s.onWay > 0 && s.onWay+e.size > maxGroupBytes {
			if err := s.awaitRoom(ctx, &s.groupRoom, 0); err != nil {
				return err
			}
		}
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		err := s.spoolOne(ctx, e)
		if s.fullPolicy == Refuse || !errors.Is(err, ErrFull) {
			return err
		}
		s.mu.Lock()
		if e.releases != s.releases || s.closed {
			continue // there is room since the attempt, or will be none
		}
		// The room may be taken by somebody else than this store, whose leaving nobody announces.
		if err := s.awaitRoom(ctx, &s.room, s.firstBackoff); err != nil {
			return err
		}
	}
}

// spoolOne tries once. Called with the lock, returns without it.
func (s *Store) spoolOne(ctx context.Context, e *entry) error {
	g := s.joinGroup(e)
	s.mu.Unlock()
	nudge(s.spoolWake)
	s.observer(MomentWaitingForSpool, 1)

	if err := s.awaitSpool(ctx, g, e); err != nil || !e.strict {
		return err
	}
	return s.awaitStored(ctx, e.waiter)
}

// awaitSpool waits for the group. An event that nobody has begun to write when
// the context ends is taken back.
func (s *Store) awaitSpool(ctx context.Context, g *group, e *entry) error {
	select {
	case <-g.done:
		return g.err
	default:
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-g.done:
		return g.err
	default:
	}
	if s.group == g {
		g.entries = slices.DeleteFunc(g.entries, func(other *entry) bool { return other == e })
		s.onWay -= e.size
		s.groupRoom.wake()
		return fmt.Errorf("record audit event: wait for the spool: %w", ctx.Err())
	}
	e.strict = false // nobody waits any more
	if e.waiter != nil {
		delete(s.waiters, e.waiter.place)
	}
	return fmt.Errorf("record audit event: %w: wait for the spool: %w", ErrInDoubt, ctx.Err())
}

// runSpooler is the only goroutine that appends to the spool, releases its
// room and closes it.
func (s *Store) runSpooler() {
	for s.spoolOnce() {
	}
	s.mu.Lock()
	s.spoolDrained = true
	s.mu.Unlock()
	close(s.drained)
	nudge(s.wake)
	<-s.finish
	s.giveBack()
	close(s.given)
}

// spoolOnce writes a group, or releases room, or waits. It says whether there may be more to do.
func (s *Store) spoolOnce() bool {
	s.mu.Lock()
	g := s.takeGroup()
	settled := s.queue.lowPosition
	release := settled > s.released
	if release {
		s.released = settled
	}
	closed := s.closed
	s.mu.Unlock()

	if g != nil {
		s.commit(g, settled)
	}
	if release {
		s.release(settled)
	}
	if g == nil && !release {
		if closed {
			return false
		}
		<-s.spoolWake
	}
	return true
}

// takeGroup stamps the events of the next group, in the order in which they
// will be kept. Called with the lock.
func (s *Store) takeGroup() *group {
	g := s.group
	s.group = nil
	if g == nil || len(g.entries) == 0 {
		return nil
	}
	now := s.clock.Now()
	for _, e := range g.entries {
		e.releases = s.releases
		s.stamp(e.event, now, e.withTime)
		if e.strict {
			e.waiter = s.wait(e.event)
		}
	}
	return g
}

// commit keeps a group on disk, and accepts its events.
func (s *Store) commit(g *group, settled uint64) {
	events := make([]Event, len(g.entries))
	bytes := 0
	for i, e := range g.entries {
		events[i] = *e.event
		bytes += e.size
	}
	started := s.clock.Now()
	first, err := s.spool.Append(events, settled)
	if err == nil {
		s.metrics.spooled(len(events), s.clock.Since(started))
	}

	s.mu.Lock()
	s.onWay -= bytes
	if err == nil {
		for i, e := range g.entries {
			s.acceptSpooled(e, first+uint64(i))
		}
	} else {
		s.unstamp(g, err)
	}
	changed := s.noteSpool(err)
	s.groupRoom.wake()
	s.mu.Unlock()

	switch {
	case err == nil:
		s.observer(MomentSpooled, len(events))
	case errors.Is(err, ErrFull):
		g.err = fmt.Errorf("record audit event: %w", err)
	default:
		g.err = fmt.Errorf("record audit event: %w: %w", ErrInDoubt, err)
	}
	if changed {
		s.logSpool(err)
	}
	close(g.done)
}

// acceptSpooled accepts an event that is on disk: in memory as well, if there
// is room and no older one is on disk alone. Called with the lock.
func (s *Store) acceptSpooled(e *entry, position uint64) {
	if s.backlog.events > 0 || !s.fits(e.size) {
		s.backlog.add(position, e.size, s.clock.Now())
		if e.waiter != nil {
			e.waiter.position = position
		}
		s.metrics.accepted.Inc()
		s.metrics.spilled.Inc()
		if s.last() <= s.sendTo || s.wantsLoad() {
			nudge(s.wake)
		}
		return
	}
	s.accepted(s.queue.push(e.event, e.size, position, s.clock.Now()))
}

// release gives room back to the spool. What could not be released will be
// sent once more after a restart, which does no harm.
func (s *Store) release(upTo uint64) {
	err := s.spool.Release(upTo)
	s.mu.Lock()
	changed := err != nil && s.noteSpool(err)
	s.releases++
	s.wakeRecorders()
	s.mu.Unlock()
	if changed {
		s.logSpool(err)
	}
	s.observer(MomentReleased, 0)
}

// noteSpool remembers whether the spool works, and says whether that is news.
// Called with the lock.
func (s *Store) noteSpool(err error) bool {
	news := (err == nil) != (s.spoolErr == nil)
	s.spoolErr = err
	return news
}

func (s *Store) logSpool(err error) {
	if err != nil {
		s.logger.Error("audit spool fails", zap.Error(err))
		return
	}
	s.logger.Info("audit spool works again")
}

// unstamp takes back what a group that was not kept has of the store's life.
// Called with the lock.
func (s *Store) unstamp(g *group, err error) {
	for _, e := range g.entries {
		delete(s.waiters, e.event.Producer)
	}
	newest := g.entries[len(g.entries)-1].event.Producer.Sequence
	if errors.Is(err, ErrFull) && newest == s.produced {
		// Nothing of it will come back, and nobody has taken a number since: no gap is left.
		s.produced -= uint64(len(g.entries))
	}
}

// giveBack spills what is in memory only, so that it is not lost with the
// process, and closes the spool.
func (s *Store) giveBack() {
	s.mu.Lock()
	// From here on nothing is settled: a write that ends now has its events sent
	// again by the next life, rather than make room for what was not sent.
	s.gaveUp = true
	settled := s.queue.lowPosition
	var unkept []*item
	var events []Event
	s.queue.owed(s.queue.last, func(it *item) {
		if it.position == 0 {
			unkept = append(unkept, it)
			events = append(events, *it.event)
		}
	})
	s.mu.Unlock()

	err := s.spill(unkept, events, settled)
	if err != nil {
		s.logSpool(err)
		s.mu.Lock()
		s.spoolErr = err
		s.mu.Unlock()
	}
	s.abandon()
	err = s.spool.Release(settled)
	if closeErr := s.spool.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		s.mu.Lock()
		s.giveBackErr = fmt.Errorf("give the audit spool back: %w", err)
		s.mu.Unlock()
	}
}

// spill keeps events that are in memory only.
func (s *Store) spill(items []*item, events []Event, settled uint64) error {
	for len(items) > 0 {
		n := 0
		for bytes := 0; n < len(items) && bytes < maxGroupBytes; n++ {
			bytes += events[n].Footprint()
		}
		first, err := s.spool.Append(events[:n], settled)
		if err != nil {
			return fmt.Errorf("spill %d events: %w", len(items), err)
		}
		s.mu.Lock()
		for i, it := range items[:n] {
			if it.state != itemSettled { // else declared lost, because it took too long
				it.position = first + uint64(i)
			}
		}
		s.mu.Unlock()
		s.metrics.spilled.Add(float64(n))
		items, events = items[n:], events[n:]
	}
	return nil
}
