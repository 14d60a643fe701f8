package spool

import (
	"path/filepath"
	"slices"
)

// damagedSuffix ends the names of segments that were set aside.
const damagedSuffix = ".damaged"

// asideFile is a segment that was set aside: the medium did not give all of it back.
type asideFile struct {
	name  string
	bytes int64
}

// setAside renames the file of a segment, so that nothing reads it any more but people.
func (s *Spool) setAside(g *logSegment) error {
	path := filepath.Join(s.dir, g.name())
	if err := s.files.Rename(path, path+damagedSuffix); err != nil {
		return err //nolint:wrapcheck // the caller names the segment
	}
	s.mu.Lock()
	s.aside = append(s.aside, asideFile{g.name() + damagedSuffix, g.fileBytes})
	s.mu.Unlock()
	return s.files.SyncDir(s.dir) //nolint:wrapcheck // the caller names the segment
}

// dropAside removes segments that were set aside, oldest first, if their space is
// needed. What cannot be removed counts as space in use.
func (s *Spool) dropAside(size int64) {
	for {
		s.mu.Lock()
		if len(s.aside) == 0 || s.usedBytes()+size <= s.maxBytes {
			s.mu.Unlock()
			return
		}
		oldest := s.aside[0]
		s.mu.Unlock()
		if err := s.files.Remove(filepath.Join(s.dir, oldest.name)); err != nil && !isGone(err) {
			return
		}
		s.mu.Lock()
		s.aside = slices.Delete(s.aside, 0, 1)
		s.mu.Unlock()
	}
}
