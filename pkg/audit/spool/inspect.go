package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"kubernaut.ai/pkg/audit"
)

// Report says what is in the directory of a spool.
type Report struct {
	// InUse says that a process has the spool open: the report is that of a moment.
	InUse bool
	// State is what a store would find: pending events and damage.
	State audit.SpoolState
	// Segments of the log, oldest first, and the files that were set aside because
	// the medium did not give all of them back.
	Segments []SegmentReport
	SetAside []string
	// Quarantined are the rejected events that nobody acknowledged, oldest first.
	Quarantined []audit.Quarantined
}

// SegmentReport says what is in a segment of the log.
type SegmentReport struct {
	Name  string
	Bytes int64
	// First and Last are its positions; Last is First-1 in an empty one.
	First, Last uint64
	// Pending events, of PendingBytes; Terminal ones are stored or in quarantine;
	// Lost ones were pending and are damaged.
	Pending, PendingBytes, Terminal, Lost int
	// UnreadableBytes are neither whole records nor empty.
	UnreadableBytes int64
}

// Damaged reports whether something could not be read.
func (r *Report) Damaged() bool {
	return r.State.Damage != (audit.SpoolDamage{}) || len(r.SetAside) > 0
}

// Inspect looks at a directory without changing anything in it, and calls visit,
// which may be nil, with each pending event, oldest first. A directory that a
// process has open may be looked at: what is seen then is what it was doing.
func Inspect(dir string, visit func(audit.SpooledEvent) error) (Report, error) {
	report, err := inspect(dir, visit)
	if err != nil {
		return Report{}, fmt.Errorf("inspect spool %s: %w", dir, err)
	}
	return report, nil
}

func inspect(dir string, visit func(audit.SpooledEvent) error) (Report, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return Report{}, err //nolint:wrapcheck // the caller names the directory
	}
	if !info.IsDir() {
		return Report{}, errors.New("it is not a directory")
	}
	release, inUse, err := lockShared(dir)
	if err != nil {
		return Report{}, err
	}
	defer release()
	s, err := Open(dir, WithFiles(newReadOnlyFiles()))
	if err != nil {
		return Report{}, errors.Unwrap(err) // the caller names the directory
	}
	defer s.reads.drop()
	report := Report{InUse: inUse, Segments: s.describeSegments()}
	for _, a := range s.aside {
		report.SetAside = append(report.SetAside, a.name)
	}
	if report.Quarantined, err = s.quarantine.list(); err != nil {
		return Report{}, fmt.Errorf("quarantine: %w", err)
	}
	if err := s.visitPending(visit); err != nil {
		return Report{}, err
	}
	report.State = s.State()
	return report, nil
}

const visitEvents, visitBytes = 1000, 8 << 20

// visitPending reads all pending events.
func (s *Spool) visitPending(visit func(audit.SpooledEvent) error) error {
	for from := uint64(1); visit != nil; {
		read, _, err := s.Read(from, visitEvents, visitBytes)
		if err != nil {
			return err
		}
		if len(read) == 0 {
			return nil
		}
		for i := range read {
			if err := visit(read[i]); err != nil {
				return err
			}
		}
		from = read[len(read)-1].Position + 1
	}
	return nil
}

func (s *Spool) describeSegments() []SegmentReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := make([]SegmentReport, 0, len(s.segments))
	for _, g := range s.segments {
		r := SegmentReport{
			Name: g.name(), Bytes: g.fileBytes, First: g.base, Last: g.known() - 1, UnreadableBytes: g.unreadable,
			Lost: int(g.lostFrom(s.released + 1).count()), //nolint:gosec // see maxGap
		}
		for position := g.base; position < g.known(); position++ {
			switch size := g.size(position); {
			case size <= unused:
				r.Terminal += int(size) // in quarantine, or never promised
			case position <= s.released:
				r.Terminal++
			default:
				r.Pending++
				r.PendingBytes += int(size)
			}
		}
		reports = append(reports, r)
	}
	return reports
}

// ErrNotEmpty is wrapped by the error of Clear for a spool that holds something.
var ErrNotEmpty = errors.New("spool is not empty")

// Clear removes the files of a spool that holds nothing: no pending event, no
// rejected or lost one that nobody acknowledged. The directory stays, and is
// empty. Files that are not the spool's are an error; nothing is removed then.
func Clear(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(s.clear(), s.lock.Close()); err != nil {
		return fmt.Errorf("clear spool %s: %w", dir, err)
	}
	return nil
}

func (s *Spool) clear() error {
	quarantined, err := s.quarantine.list()
	if err != nil {
		return err
	}
	if state := s.State(); state.Events+len(quarantined)+state.Damage.Events > 0 {
		return fmt.Errorf("%w: %d pending events, %d in quarantine, %d lost", ErrNotEmpty, state.Events, len(quarantined), state.Damage.Events)
	}
	files, err := s.ownFiles()
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := s.files.Remove(path); err != nil && !isGone(err) {
			return err //nolint:wrapcheck // names the operation and the path
		}
	}
	return s.files.SyncDir(s.dir) //nolint:wrapcheck // names the operation and the path
}

// ownFiles lists what Clear removes, in that order: the lock is the last.
func (s *Spool) ownFiles() ([]string, error) {
	segments, err := s.list()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, g := range segments {
		files = append(files, filepath.Join(s.dir, g.name()))
	}
	for _, a := range s.aside {
		files = append(files, filepath.Join(s.dir, a.name))
	}
	folder := filepath.Join(s.dir, quarantineName)
	entries, err := s.files.List(folder)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	own := []string{notesName, notesName + temporary}
	for _, b := range s.quarantine.batches {
		own = append(own, batchName(b.number), batchName(b.number)+temporary)
	}
	for _, entry := range entries {
		if !slices.Contains(own, entry.Name) {
			return nil, fmt.Errorf("%s contains %q, which is not a spool file: move it away", folder, entry.Name)
		}
		files = append(files, filepath.Join(folder, entry.Name))
	}
	return append(files, folder, filepath.Join(s.dir, lockName)), nil
}
