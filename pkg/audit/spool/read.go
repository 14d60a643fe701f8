package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft-wal/types"

	"kubernaut.ai/pkg/audit"
)

// reader reads events back. The events of one segment that is no longer
// written are held in memory, because they are asked for in pieces.
type reader struct {
	mu sync.Mutex // held during a Read, and while the segment being written is closed

	loaded *logSegment // nil: none
	image  []byte
	// events are the whole events of the loaded segment, encoded, one behind the
	// other; spans says where that of base, base+1 and so on is.
	events []byte
	spans  []span
}

type span struct{ start, end int }

// planned is a position that has an event.
type planned struct {
	segment  *logSegment
	position uint64
}

// outcome is an event that was read, or errDamaged where its bytes are not
// those that were written, or why it could not be read.
type outcome struct {
	event audit.Event
	err   error
}

// Read gives kept events, oldest first; see audit.Spool.
func (s *Spool) Read(from uint64, events, bytes int) (kept []audit.SpooledEvent, damaged int, err error) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	for {
		plan, err := s.plan(from, max(events, 1), bytes)
		if err != nil || len(plan) == 0 {
			return kept, damaged, err
		}
		for run := range sameSegment(plan) {
			for i, result := range s.reads.read(s, run) {
				position := run[i].position
				switch {
				case result.err == nil:
					kept = append(kept, audit.SpooledEvent{Position: position, Event: result.event})
				case errors.Is(result.err, errDamaged):
					damaged += s.lose(run[i])
				case s.isReleased(run[len(run)-1].position): // since the plan was made: the file may be gone
				case len(kept) > 0:
					return kept, damaged, nil // the next call begins with the error
				default:
					return nil, damaged, fmt.Errorf("spool %s: read position %d: %w", s.dir, position, result.err)
				}
			}
		}
		if len(kept) > 0 {
			return kept, damaged, nil
		}
		from = plan[len(plan)-1].position + 1
	}
}

// sameSegment cuts a plan where another segment begins.
func sameSegment(plan []planned) iter.Seq[[]planned] {
	return func(yield func([]planned) bool) {
		for len(plan) > 0 {
			n := 1
			for n < len(plan) && plan[n].segment == plan[0].segment {
				n++
			}
			if !yield(plan[:n]) {
				return
			}
			plan = plan[n:]
		}
	}
}

// plan finds the events that fit into what is asked for, but at least one.
func (s *Spool) plan(from uint64, events, bytes int) ([]planned, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("spool %s: %w", s.dir, errClosed)
	}
	var plan []planned
	from = max(from, s.released+1)
	for _, g := range s.segments {
		for position := max(from, g.base); position < g.known(); position++ {
			size := g.size(position)
			if size <= unused {
				continue
			}
			if len(plan) == events || (len(plan) > 0 && int(size) > bytes) {
				return plan, nil
			}
			bytes -= int(size)
			plan = append(plan, planned{g, position})
		}
	}
	return plan, nil
}

func (s *Spool) isReleased(position uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return position <= s.released
}

// lose notes an event that was there when the spool was opened and is gone now,
// and counts it if it was pending.
func (s *Spool) lose(p planned) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := &p.segment.sizes[p.position-p.segment.base]
	if p.position <= s.released || *size <= unused {
		return 0
	}
	s.events--
	s.eventBytes -= int(*size)
	*size = lost
	return 1
}

// read reads events of one segment.
func (r *reader) read(s *Spool, run []planned) []outcome {
	results := make([]outcome, len(run))
	g := run[0].segment
	s.mu.Lock()
	writer := g.writer
	s.mu.Unlock()
	if writer != nil {
		r.forget()
		for i, p := range run {
			results[i].event, results[i].err = written(writer, p.position)
		}
		return results
	}
	if r.loaded != g {
		if err := r.load(s, g); err != nil {
			results[0].err = err
			return results[:1]
		}
	}
	decode := func(from, to int) {
		for i := from; i < to; i++ {
			results[i].event, results[i].err = r.decode(run[i].position)
		}
	}
	if len(run) < decodedAlone {
		decode(0, len(run))
		return results
	}
	var second sync.WaitGroup
	second.Go(func() { decode(0, len(run)/2) })
	decode(len(run)/2, len(run))
	second.Wait()
	return results
}

// decodedAlone is how many events are not worth a second goroutine.
const decodedAlone = 64

// written reads an event of the segment that is being written.
func written(writer types.SegmentWriter, position uint64) (audit.Event, error) {
	buffer, err := writer.GetLog(position)
	if err != nil {
		return audit.Event{}, fmt.Errorf("read segment: %w", err)
	}
	defer func() { _ = buffer.Close() }()
	h, event, err := openRecord(buffer.Bs)
	if err != nil || h.Position != position {
		return audit.Event{}, errDamaged
	}
	return decodeEvent(event)
}

// decode gives an event of the loaded segment.
func (r *reader) decode(position uint64) (audit.Event, error) {
	if i := position - r.loaded.base; i < uint64(len(r.spans)) && r.spans[i].end > 0 {
		return decodeEvent(r.events[r.spans[i].start:r.spans[i].end])
	}
	return audit.Event{}, errDamaged
}

// load reads the events of a segment into memory.
func (r *reader) load(s *Spool, g *logSegment) (err error) {
	r.loaded = nil
	path := filepath.Join(s.dir, g.name())
	if g.unread > 0 {
		r.image, _, _ = loadAround(s.files, path, g.fileBytes, r.image)
	} else if r.image, err = load(s.files, path, g.fileBytes, r.image); err != nil {
		return err
	}
	s.mu.Lock()
	positions := len(g.sizes)
	s.mu.Unlock()
	r.events = slices.Grow(r.events[:0], len(r.image))
	r.spans = slices.Grow(r.spans[:0], positions)[:positions]
	clear(r.spans)
	_, err = walk(r.image, g.base, g.id, func(record []byte, _ int64) error {
		h, event, err := openRecord(record)
		if i := h.Position - g.base; err == nil && i < uint64(positions) { //nolint:gosec // not negative
			start := len(r.events)
			r.events = append(r.events, event...)
			r.spans[i] = span{start, len(r.events)}
		}
		return nil
	})
	r.loaded = g
	return err
}

// forget gives the memory of the loaded segment back. Called with the lock.
func (r *reader) forget() {
	r.loaded, r.image, r.events, r.spans = nil, nil, nil, nil
}

// drop is forget for those without the lock.
func (r *reader) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
}

// forgetIdle gives the memory back unless somebody reads.
func (r *reader) forgetIdle() {
	if r.mu.TryLock() {
		r.forget()
		r.mu.Unlock()
	}
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func deleteSegment(from []*logSegment, g *logSegment) []*logSegment {
	return slices.DeleteFunc(from, func(other *logSegment) bool { return other == g })
}
