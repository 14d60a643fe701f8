package spool

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hashicorp/raft-wal/segment"

	"kubernaut.ai/pkg/audit"
)

// errClosed is returned by what is called after Close.
var errClosed = errors.New("spool is closed")

// quarantineName is the folder of the rejected events.
const quarantineName = "quarantine"

// Spool is an audit.Spool in a directory.
type Spool struct {
	dir          string
	files        Files
	maxBytes     int64
	segmentBytes int64
	filer        *segment.Filer
	lock         io.Closer
	quarantine   *quarantine

	// appends is for the one caller of Append, Release and Close.
	appends appender
	// moving is the position up to which a Move under way releases; else 0. As appends.
	moving uint64

	mu sync.Mutex // guards all below, and the segments' fields; never held during a write or a read
	// segments in the order of their positions, the newest last; only the last one is written.
	segments []*logSegment
	// next is the position that the next event gets, nextID the id of the next segment.
	next, nextID uint64
	// events and eventBytes count the events that are not released, last is the position of the newest.
	events, eventBytes int
	last               uint64
	// released is the position up to which everything is terminal, terminalOnDisk
	// the one that the segments record.
	released, terminalOnDisk uint64
	closed                   bool
	// aside are damaged segments of which everything is terminal, oldest first,
	// kept for people as long as there is room.
	aside []asideFile

	damage damage // of the log; fixed since Open

	reads reader
}

var _ audit.Spool = (*Spool)(nil)

// Open takes over a directory, which it creates if there is none, and reads what
// an earlier process left in it. It rejects a directory that another spool uses
// with ErrInUse, and one that contains other files; it adopts one that a dead
// process left. Damage is no error: see State.
func Open(dir string, options ...Option) (*Spool, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	if m, ok := c.files.(Mountable); ok {
		c.files = m.Mount(c.files)
	}
	s := &Spool{
		dir: dir, files: c.files, maxBytes: c.maxBytes, segmentBytes: c.segmentBytes,
		filer: segment.NewFiler(dir, segmentFiles{c.files}),
		next:  1, nextID: 1,
	}
	if err := s.open(c); err != nil {
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	return s, nil
}

// State describes the events that are not released.
func (s *Spool) State() audit.SpoolState {
	damage := s.quarantine.damage()
	s.mu.Lock()
	defer s.mu.Unlock()
	state := audit.SpoolState{
		First: s.next, Last: s.next - 1,
		Events: s.events, EventBytes: s.eventBytes,
		Bytes: s.usedBytes(), MaxBytes: s.maxBytes,
		Damage: s.damage.with(damage),
	}
	if s.events > 0 {
		state.First, state.Last = s.firstKept(s.released+1), s.last
	}
	return state
}

func (s *Spool) open(c config) error {
	if err := s.files.MakeDir(s.dir); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	// Looked at before the lock is made in it, and once more under the lock.
	if _, err := s.list(); err != nil {
		return err
	}
	lock, err := s.files.Lock(s.dir)
	if errors.Is(err, ErrInUse) {
		return fmt.Errorf("%w: stop the process that uses it, or use another directory", err)
	}
	if err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	s.lock = lock
	segments, err := s.list()
	if err != nil {
		return err
	}
	s.quarantine, err = openQuarantine(s.files, filepath.Join(s.dir, quarantineName), c, s.terminalDurably)
	if err != nil {
		return err
	}
	return s.recoverLog(segments)
}

// list returns the segments in the directory, and rejects a directory that contains other files.
func (s *Spool) list() ([]*logSegment, error) {
	entries, err := s.files.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list directory: %w", err)
	}
	var segments []*logSegment
	s.aside = nil
	for _, entry := range entries {
		g, isSegment := parseSegment(strings.TrimSuffix(entry.Name, damagedSuffix))
		switch {
		case isSegment && !entry.Dir && strings.HasSuffix(entry.Name, damagedSuffix):
			s.aside = append(s.aside, asideFile{entry.Name, entry.Bytes})
		case isSegment && !entry.Dir:
			g.fileBytes, g.durable = entry.Bytes, true
			segments = append(segments, g)
		case entry.Name == lockName && !entry.Dir:
		case entry.Name == quarantineName && entry.Dir:
		case entry.Name == "lost+found" && entry.Dir: // at the root of its own volume
		case strings.HasPrefix(entry.Name, "."): // of the file system or the volume: .snapshot, .nfs0001, ..data
		default:
			return nil, fmt.Errorf("directory contains %q, which is not a spool file: use a dedicated directory", entry.Name)
		}
	}
	return segments, nil
}

// firstKept is the first position from one on that has an event; next if there
// is none. Called with the lock.
func (s *Spool) firstKept(from uint64) uint64 {
	for _, g := range s.segments {
		for position := max(from, g.base); position < g.known(); position++ {
			if g.size(position) > unused {
				return position
			}
		}
	}
	return s.next
}

// usedBytes is the size of the segments on the medium. Called with the lock.
func (s *Spool) usedBytes() int64 {
	var used int64
	for _, g := range s.segments {
		used += g.fileBytes
	}
	for _, a := range s.aside {
		used += a.bytes
	}
	return used
}

// full makes an error for lack of space wrap audit.ErrFull. It is for what is
// written in one step or not at all.
func full(err error) error {
	if noSpace(err) {
		return fmt.Errorf("%w: no space left on the medium: %w", audit.ErrFull, err)
	}
	return err
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
