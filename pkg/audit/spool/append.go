package spool

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/raft-wal/types"

	"kubernaut.ai/pkg/audit"
)

const (
	// keptBuffer is the largest encoding buffer that is kept from one Append to the next, in bytes.
	keptBuffer = 8 << 20
	// maxGroupBytes is the largest group of events, in bytes: what one segment file can hold.
	maxGroupBytes = 1 << 30
)

// appender encodes groups. Only the caller of Append and Close uses it.
type appender struct {
	buffer  bytes.Buffer
	ends    []int
	entries []types.LogEntry
	// sizes are those of logSegment.
	sizes []uint32
}

// encode makes entries of events, at the positions from first on, or a mark if there are none.
func (a *appender) encode(events []audit.Event, first, terminal uint64) error {
	if a.buffer.Cap() > keptBuffer {
		a.buffer = bytes.Buffer{}
	}
	a.buffer.Reset()
	a.ends, a.entries, a.sizes = a.ends[:0], a.entries[:0], a.sizes[:0]
	h := header{Position: first, First: first, Terminal: terminal}
	if len(events) == 0 {
		return a.add(&h, nil)
	}
	for i := range events {
		h.Footprint = uint32(events[i].Footprint()) //nolint:gosec // an event of 4 GiB fails at the group's bound
		if err := a.add(&h, &events[i]); err != nil {
			return err
		}
		h.Position++
	}
	return nil
}

func (a *appender) add(h *header, event *audit.Event) error {
	if err := appendRecord(&a.buffer, h, event); err != nil {
		return err
	}
	if a.buffer.Len() > maxGroupBytes {
		return fmt.Errorf("a group of more than %d bytes", maxGroupBytes)
	}
	a.ends = append(a.ends, a.buffer.Len())
	a.sizes = append(a.sizes, max(h.Footprint, unused))
	return nil
}

// group returns the entries and the bytes that they take in a segment.
func (a *appender) group(first uint64) (entries []types.LogEntry, room int64) {
	start := 0
	for i, end := range a.ends {
		a.entries = append(a.entries, types.LogEntry{Index: first + uint64(i), Data: a.buffer.Bytes()[start:end]})
		start = end
	}
	return a.entries, int64(start + len(a.ends)*recordOverhead + commitOverhead)
}

// Append persists events; see audit.Spool.
func (s *Spool) Append(events []audit.Event, terminal uint64) (uint64, error) {
	if len(events) == 0 {
		return s.next, nil
	}
	first, err := s.append(events, terminal)
	if err != nil {
		return 0, fmt.Errorf("spool %s: append %d events: %w", s.dir, len(events), err)
	}
	return first, nil
}

// Move is Append for events that are in the spool already, at positions up to
// terminal, which is terminal from then on. It may exceed the bound for as long
// as it takes to Release these, if they take more room than it does: a full spool
// can be emptied although an old event in it is still pending.
func (s *Spool) Move(events []audit.Event, terminal uint64) (uint64, error) {
	s.moving = min(terminal, s.next-1)
	defer func() { s.moving = 0 }()
	return s.Append(events, terminal)
}

// append writes a group, or a mark if there are no events.
func (s *Spool) append(events []audit.Event, terminal uint64) (first uint64, err error) {
	if s.closed {
		return 0, errClosed
	}
	first = s.next
	terminal = min(terminal, first-1)
	if err := s.appends.encode(events, first, terminal); err != nil {
		return 0, err
	}
	entries, room := s.appends.group(first)
	g, err := s.segmentWithRoom(room)
	if err != nil {
		return 0, err
	}
	if err := g.writer.Append(entries); err != nil {
		s.abandon(g)
		// Whatever the reason: some, or all, of it may have been written.
		return 0, fmt.Errorf("write segment %s: %w: %w", g.name(), audit.ErrInDoubt, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	g.room -= room
	g.sizes = append(g.sizes, s.appends.sizes...)
	s.next += uint64(len(entries))
	s.terminalOnDisk = max(s.terminalOnDisk, terminal)
	for _, size := range s.appends.sizes {
		if size > unused {
			s.events++
			s.eventBytes += int(size)
			s.last = s.next - 1
		}
	}
	return first, nil
}

// newest is the last segment; nil if there is none.
func (s *Spool) newest() *logSegment {
	if len(s.segments) == 0 {
		return nil
	}
	return s.segments[len(s.segments)-1]
}

// segmentWithRoom returns the segment for the next group: the one that is being
// written, or a new one.
func (s *Spool) segmentWithRoom(room int64) (*logSegment, error) {
	if g := s.newest(); g != nil && g.writer != nil {
		if g.room >= room {
			return g, nil
		}
		s.retire(g)
	}
	size := max(s.segmentBytes, room+segmentOverhead)
	if err := s.makeRoom(size); err != nil {
		return nil, err
	}
	return s.create(size)
}

// create begins a segment at the next position. One that fails half-way is
// listed until its file is gone: left behind, it would look like a segment that
// lost its events.
func (s *Spool) create(size int64) (*logSegment, error) {
	g := &logSegment{base: s.next, id: s.nextID, fileBytes: size, room: size - segmentOverhead}
	s.nextID++
	s.mu.Lock()
	s.segments = append(s.segments, g)
	s.mu.Unlock()
	writer, err := s.filer.Create(g.info(size))
	if err != nil {
		_ = s.remove(g) // if not now, then when its turn comes
		return nil, fmt.Errorf("begin segment %s: %w", g.name(), full(err))
	}
	s.mu.Lock()
	g.writer, g.durable = writer, true
	s.mu.Unlock()
	return g, nil
}

// makeRoom returns an error if another segment would exceed the bound. If nothing
// is pending, the last segment is replaced.
func (s *Spool) makeRoom(size int64) error {
	s.dropAside(size)
	used, events := s.used()
	if used+size > s.maxBytes && events == 0 {
		if err := s.forget(); err != nil {
			return err
		}
		s.dropAside(size)
		used, _ = s.used()
	}
	if used+size > s.maxBytes && s.freedByMove() < size {
		return fmt.Errorf("%w: the spool uses %d of %d bytes, and a segment needs %d", audit.ErrFull, used, s.maxBytes, size)
	}
	return nil
}

// freedByMove is the size of the segments that a move makes removable.
func (s *Spool) freedByMove() (bytes int64) {
	for _, g := range s.segments {
		if s.moving == 0 || g.end() == 0 || g.end()-1 > s.moving {
			break
		}
		bytes += g.fileBytes
	}
	return bytes
}

// retire ends the writing of a segment. Every byte in it that counts is
// durable, so an error of closing it says nothing.
func (s *Spool) retire(g *logSegment) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	s.mu.Lock()
	writer := g.writer
	g.writer = nil
	s.mu.Unlock()
	_ = writer.Close()
}

// abandon retires a segment after a write that failed: nobody knows what is in
// the file behind the last group that was confirmed. The next group begins a
// segment at the same position, which is the one that counts from then on.
func (s *Spool) abandon(g *logSegment) {
	s.retire(g)
	if len(g.sizes) == 0 && s.canSpare(g) {
		_ = s.remove(g) // if not now, then when its turn comes
	}
}

// remove deletes the file of a segment durably, or sets it aside if there may be
// more in it than could be read, and forgets the segment.
func (s *Spool) remove(g *logSegment) error {
	var err error
	if g.unread > 0 {
		err = s.setAside(g)
	} else {
		err = s.filer.Delete(g.base, g.id)
	}
	if isGone(err) {
		err = s.files.SyncDir(s.dir) // perhaps it is not gone for good
	}
	if err != nil {
		return fmt.Errorf("remove segment %s: %w", g.name(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = deleteSegment(s.segments, g)
	return nil
}
