package audit

import (
	"fmt"
	"log/slog"
	"time"
)

// reader remembers how reading from the spool went.
type reader struct {
	// again fires when a spool that could not be read is worth another try; nil
	// while it can be read.
	again <-chan time.Time
	// failed says that the last read failed.
	failed bool
	// hurries counts the flushes as of the last read: a later one is worth a read
	// at once.
	hurries uint64
}

// mayRead reports whether the spool can be read, or a flush asks to try.
func (r *reader) mayRead(hurries uint64) bool {
	if r.again != nil && r.hurries == hurries {
		return false
	}
	r.hurries = hurries
	return true
}

// wantsLoad reports whether events should be read back: too few wait for a full
// batch, and the largest event would fit. Called with the lock.
func (s *Store) wantsLoad() bool {
	return s.backlog.Events > 0 && s.window.Waiting() < s.window.Target() && s.queue.Fits(MaxFootprint)
}

// load reads events back from the spool. Only the dispatcher calls it.
func (s *Store) load() {
	s.mu.Lock()
	from, upTo, pending := s.backlog.Next, s.backlog.Last, s.backlog.Events
	events := min(s.queue.FreeEvents(), pending, 2*s.window.Target())
	bytes := min(s.queue.FreeBytes(), 2*s.batchBytes)
	s.mu.Unlock()

	read, damaged, err := s.spool.Read(from, events, bytes)
	if err != nil {
		// The backlog stays pending: the next try is after the longest backoff, or
		// with the next flush.
		s.noteSpool(fmt.Errorf("read the audit spool from position %d: %w", from, err))
		s.reader.failed = true
		s.reader.again = s.clock.After(s.longestBackoff)
		if damaged > 0 { // what is known to be lost is, whatever else cannot be read
			s.loaded(nil, damaged, from-1, pending)
		}
		return
	}
	if s.reader.failed {
		s.reader.failed = false
		s.reader.again = nil
		s.noteSpool(nil)
	}
	for len(read) > 0 && read[len(read)-1].Position > upTo {
		// On disk already, but its Record has yet to return.
		read = read[:len(read)-1]
	}
	if len(read) == 0 {
		damaged = pending // nothing is left where they were
	}
	s.loaded(read, damaged, upTo, pending)
}

// loaded queues events that were read back, and notes those that could not be.
// Of the backlog, pending events up to position upTo were there when the read
// began.
func (s *Store) loaded(read []SpooledEvent, damaged int, upTo uint64, pending int) {
	s.mu.Lock()
	damaged = min(damaged, pending-len(read))
	bytes := 0
	next := upTo + 1
	for i := range read {
		event := read[i].Event
		size := event.Footprint()
		it := s.queue.Push(&event, event.CorrelationID, size, read[i].Position, s.backlog.Since)
		it.Loaded = true
		s.window.AddOverdue(it) // it has waited long enough
		if s.barriers.Selective() {
			s.barriers.Identify(it.Seq, it.CorrelationID)
		}
		bytes += size
		next = read[i].Position + 1
	}
	s.backlog.Remove(len(read), bytes, next)
	s.backlog.Unreadable += damaged
	s.barriers.Open()
	if damaged > 0 {
		s.waiters.loseUnread(read, next)
	}
	s.mu.Unlock()

	if damaged > 0 {
		s.metrics.lost.Add(float64(damaged))
		s.log(slog.LevelError, "audit spool is damaged, events are lost", slog.Int("lost_events", damaged), slog.Uint64("before_position", next))
	}
	s.hook(HookLoaded, len(read))
}

// maxUnreadable is how many lost events get a place in the queue together.
const maxUnreadable = 1000

// loseUnreadable declares events lost of which nothing is known but that they
// were accepted: every flush that covers them fails, whatever its correlation
// id. Called with the lock.
func (s *Store) loseUnreadable() {
	count := min(s.backlog.Unreadable, maxUnreadable)
	s.backlog.Unreadable -= count
	s.backlog.Remove(count, 0, s.backlog.Next)
	now := s.since(s.clock.Now())
	for range count {
		it := s.queue.Push(nil, "", 0, s.backlog.Next-1, now)
		s.lost.AddAnyones(it.Seq)
		s.barriers.Lose(it.Seq)
		s.queue.Finish(it)
	}
	s.barriers.Open()
	s.wakeRecorders()
}
