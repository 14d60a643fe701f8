package spool

import (
	"errors"
	"fmt"
	"slices"
)

// Release marks everything up to a position as terminal; see audit.Spool.
func (s *Spool) Release(upTo uint64) error {
	if s.closed {
		return fmt.Errorf("spool %s: %w", s.dir, errClosed)
	}
	s.finish(upTo)
	if err := s.purge(); err != nil {
		return fmt.Errorf("spool %s: release up to position %d: %w", s.dir, upTo, err)
	}
	if _, events := s.used(); events == 0 {
		s.reads.forgetIdle()
	}
	return nil
}

// finish counts what is released.
func (s *Spool) finish(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo = min(upTo, s.next-1)
	for _, g := range s.segments {
		for position := max(g.base, s.released+1); position <= upTo && position < g.known(); position++ {
			if size := g.size(position); size > unused {
				s.events--
				s.eventBytes -= int(size)
			}
		}
	}
	s.released = max(s.released, upTo)
}

// purge removes segments in which nothing is pending, from the oldest on, each
// durably before the next: what one of them says about its elders must not go
// before them. One stays, see canSpare.
func (s *Spool) purge() error {
	for len(s.segments) > 1 && s.canSpare(s.segments[0]) && !s.hasPending(s.segments[0]) {
		if err := s.remove(s.segments[0]); err != nil {
			return err
		}
	}
	return nil
}

// canSpare says whether another segment is there for good: without any, the
// spool would begin again at position 1.
func (s *Spool) canSpare(g *logSegment) bool {
	return slices.ContainsFunc(s.segments, func(other *logSegment) bool { return other != g && other.durable })
}

// hasPending says whether there are events in a segment that were not released.
func (s *Spool) hasPending(g *logSegment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.unread > 0 && s.released < g.end()-1 {
		return true // perhaps it can be read the next time
	}
	for position := max(g.base, s.released+1); position < g.known(); position++ {
		if g.size(position) > unused {
			return true
		}
	}
	return false
}

// used is the room that is taken on the medium, in bytes, and how many events are pending.
func (s *Spool) used() (bytes int64, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usedBytes(), s.events
}

// Close forgets durably what was released, and gives the directory back; see audit.Spool.
func (s *Spool) Close() error {
	if s.closed {
		return nil
	}
	err := s.forget()
	if g := s.newest(); g != nil && g.writer != nil {
		s.retire(g)
		// The rest of what was allocated ahead; it goes with the segment otherwise.
		_ = s.truncate(g, g.fileBytes-g.room)
	}
	s.reads.drop()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.quarantine.close()
	if err := errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close spool %s: %w", s.dir, err)
	}
	return nil
}

// forget makes durable what is released: with nothing left, an empty segment
// says at which position to go on; else a mark says what is terminal.
func (s *Spool) forget() error {
	if _, events := s.used(); events > 0 {
		if s.segments[0].base > s.released || s.terminalOnDisk >= s.released {
			return nil
		}
		_, err := s.append(nil, s.released)
		return err
	}
	last := s.newest()
	if last == nil || (len(s.segments) == 1 && last.fileBytes == 0) {
		return nil
	}
	if err := s.purge(); err != nil {
		return err
	}
	empty, err := s.create(0)
	if err != nil {
		return err
	}
	s.retire(empty)
	if last.writer != nil {
		s.retire(last)
	}
	return s.purge()
}
