package spool

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
)

// scanners is how many segments are read at the same time when a spool is
// opened; each takes the memory of one.
const scanners = 2

// maxGap is more positions than a log that fits on any medium can have between
// two segments. A file that is further away is not of this log.
const maxGap = 1 << 32

// scanned is what reading a segment found out about it.
type scanned struct {
	// terminal is the newest mark in it.
	terminal uint64
	// written is where its last byte that is not zero ends.
	written int64
	// unconfirmed is where its newest group begins.
	unconfirmed int64
	// partial are the positions that are missing from its newest group, which was
	// perhaps never confirmed.
	partial intervals
	// unreadable bytes, see walk, and cause why some of them could not be read.
	unreadable int64
	cause      error
	err        error
}

// recoverLog reads what an earlier process left, and determines what is missing.
func (s *Spool) recoverLog(segments []*logSegment) error {
	slices.SortFunc(segments, func(a, b *logSegment) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.id, b.id))
	})
	results := s.scanAll(segments)
	for i, result := range results {
		g := segments[i]
		if result.err != nil {
			return fmt.Errorf("segment %s: %w", g.name(), result.err)
		}
		if g.missing > maxGap {
			return fmt.Errorf("segment %s begins %d positions after the one before: it does not belong to this spool, move it away", segments[i+1].name(), g.missing)
		}
		s.released = max(s.released, result.terminal)
		s.nextID = max(s.nextID, g.id+1)
	}
	s.terminalOnDisk = s.released
	if len(segments) > 0 {
		s.released = max(s.released, segments[0].base-1)
	}
	s.segments = segments
	accounted := s.applyQuarantine()
	s.count()
	s.assess(results, accounted)
	s.trim(results)
	if err := s.confirmNewest(results, accounted); err != nil {
		return err
	}
	_ = s.purge() // what cannot be removed now is removed by Release, or its error says why
	return nil
}

// applyQuarantine marks the positions that the quarantine has accounted for, and
// returns those whose loss was reported before.
func (s *Spool) applyQuarantine() (accounted intervals) {
	terminal, accounted := s.quarantine.terminalPositions(), s.quarantine.reportedPositions()
	s.next = max(terminal.newest(), accounted.newest()) + 1 // no position is used twice, also if the log was taken away
	for _, g := range s.segments {
		g.finish(terminal)
		g.markUnused(accounted)
	}
	if last := s.newest(); last != nil {
		last.missing += max(last.end(), s.next) - last.end()
		s.next = last.end()
	} else {
		s.released = s.next - 1
	}
	return mergeIntervals(slices.Concat(terminal, accounted))
}

// confirmNewest makes durable what is known of the newest segment by inference.
func (s *Spool) confirmNewest(results []scanned, accounted intervals) error {
	g := s.newest()
	if g == nil {
		return nil
	}
	result := results[len(results)-1]
	if g.unread == 0 {
		if err := s.confirm(g, result.unconfirmed); err != nil {
			return err
		}
	}
	// Where there is no room for it, the next process counts a loss that may be none.
	if err := s.quarantine.remember(unconfirmed, result.partial.without(accounted)); err != nil && !noSpace(err) {
		return err
	}
	return nil
}

// scanAll reads the segments, each up to the beginning of the next one.
func (s *Spool) scanAll(segments []*logSegment) []scanned {
	results := make([]scanned, len(segments))
	work := make(chan int)
	var readers sync.WaitGroup
	for range min(scanners, len(segments)) {
		readers.Go(func() {
			var image []byte
			for i := range work {
				var next *logSegment
				if i+1 < len(segments) {
					next = segments[i+1]
				}
				image, results[i] = s.scan(segments[i], next, image)
			}
		})
	}
	for i := range segments {
		work <- i
	}
	close(work)
	readers.Wait()
	return results
}

// minRecordBytes is less than what any record takes in a segment.
const minRecordBytes = frameHeaderBytes + 2*frameHeaderBytes

// scan reads a segment into the image, and sets the sizes of its positions below
// those of the next segment, if there is one.
func (s *Spool) scan(g, next *logSegment, image []byte) ([]byte, scanned) {
	var result scanned
	limit := uint64(math.MaxUint64)
	if next != nil {
		limit = next.base
	}
	image, g.unread, result.cause = loadAround(s.files, filepath.Join(s.dir, g.name()), g.fileBytes, image)
	written := len(image)
	for written > 0 && image[written-1] == 0 {
		written--
	}
	// A frame, and the padding of its record, may end with zeros of their own.
	if written > 0 {
		written = min(len(image), (written/frameHeaderBytes+2)*frameHeaderBytes)
	}
	result.written = int64(written)

	newestGroup := g.base
	var misplaced int64
	result.unreadable, result.err = walk(image[:written:written], g.base, g.id, func(record []byte, at int64) error {
		h, _, err := openRecord(record)
		switch {
		case errors.Is(err, errNewer):
			return err
		case err == nil && h.Position >= limit: // the next segment has it
		case err == nil && g.place(&h, len(image)):
			if h.First != newestGroup {
				newestGroup, result.unconfirmed = h.First, at
			}
			result.terminal = max(result.terminal, h.Terminal)
		default:
			misplaced += int64(len(record))
		}
		return nil
	})
	result.unreadable = max(result.unreadable+misplaced, g.unread) // the one has most of the other
	g.unreadable = result.unreadable
	switch {
	case next != nil:
		g.missing = limit - g.end()
	case g.unread > 0:
		// Whatever is there, its positions are not used again.
		g.missing = uint64(g.unread/minRecordBytes) + 1
		result.partial = intervals{{g.known(), g.end() - 1}}
	default:
		// Nothing proves that the newest group was ever confirmed: what is missing
		// from its middle may be what a crash tore.
		result.partial = g.lostFrom(newestGroup)
		g.markUnused(result.partial)
	}
	return image, result
}

// place enters a record at its position. It returns false if the record cannot be
// there: before its predecessor, or further behind it than the file is long.
func (g *logSegment) place(h *header, imageBytes int) bool {
	expected := g.end()
	if h.Position < expected || h.Position-expected > uint64(imageBytes) || h.Footprint == unused { //nolint:gosec // not negative
		return false
	}
	g.sizes = append(g.sizes, make([]uint32, h.Position-expected)...)
	g.sizes = append(g.sizes, max(h.Footprint, unused))
	return true
}

// count counts the events that are not released.
func (s *Spool) count() {
	for _, g := range s.segments {
		for i, size := range g.sizes {
			if position := g.base + uint64(i); position > s.released && size > unused {
				s.events++
				s.eventBytes += int(size)
				s.last = position
			}
		}
	}
}

// trim frees what was allocated ahead in segments that are no longer written.
// What cannot be freed goes with its segment.
func (s *Spool) trim(results []scanned) {
	for i, g := range s.segments {
		if g.fileBytes <= results[i].written || g.unread > 0 {
			continue
		}
		if err := s.truncate(g, results[i].written); err == nil {
			g.fileBytes = results[i].written
		}
	}
}

// confirm makes durable what was read from the newest segment: the process
// before this one may have died between its newest write and the fsync, or the
// fsync may have failed. Only what is written again is sure to be written by fsync.
func (s *Spool) confirm(g *logSegment, from int64) error {
	if err := s.files.SyncDir(s.dir); err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	path := filepath.Join(s.dir, g.name())
	image, err := load(s.files, path, g.fileBytes, nil)
	if err != nil {
		return err
	}
	file, err := s.files.Open(path)
	if err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	_, err = file.WriteAt(image[min(from, int64(len(image))):], from)
	if noSpace(err) {
		err = nil // a file system that writes elsewhere, and has no room to
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("confirm segment %s: %w", g.name(), err)
	}
	return nil
}

func (s *Spool) truncate(g *logSegment, size int64) error {
	file, err := s.files.Open(filepath.Join(s.dir, g.name()))
	if err != nil {
		return err //nolint:wrapcheck // the caller goes on without
	}
	return errors.Join(file.Truncate(size), file.Close())
}
