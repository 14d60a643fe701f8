package audit

import (
	"errors"
	"log/slog"
)

// diskState tells what a spool can do.
type diskState int

const (
	diskWorks diskState = iota
	diskFull
	diskFails
)

func diskStateOf(err error) diskState {
	switch {
	case err == nil:
		return diskWorks
	case errors.Is(err, ErrFull):
		return diskFull
	default:
		return diskFails
	}
}

// SpoolFailure says what is wrong with a spool, given its newest error; empty
// without one. It does not repeat the error, which names paths.
func SpoolFailure(err error) string {
	switch diskStateOf(err) {
	case diskFull:
		return "the spool is full"
	case diskFails:
		return "the spool fails"
	case diskWorks:
	}
	return ""
}

// diskHealth has the newest failures on disk. The store's mutex guards it.
type diskHealth struct {
	// spoolErr and quarantineErr are nil while the spool, and its quarantine, work.
	spoolErr, quarantineErr error
}

// err returns the newest failure, that of the spool before that of the quarantine.
func (d *diskHealth) err() error {
	if d.spoolErr != nil {
		return d.spoolErr
	}
	return d.quarantineErr
}

// noteSpool remembers whether the spool works, and logs a change.
func (s *Store) noteSpool(err error) {
	s.mu.Lock()
	changed := diskStateOf(err) != diskStateOf(s.disk.spoolErr)
	s.disk.spoolErr = err
	s.mu.Unlock()
	if changed {
		s.logSpool(err)
	}
}

func (s *Store) logSpool(err error) {
	switch diskStateOf(err) {
	case diskWorks:
		s.log(slog.LevelInfo, "audit spool works again")
	case diskFull:
		s.log(slog.LevelWarn, "audit spool is full, events are accepted again when the sink has stored older ones or the spool may grow", errorAttr(err))
	case diskFails:
		s.log(slog.LevelError, "audit spool fails", errorAttr(err))
	}
}

// noteQuarantine remembers whether the quarantine takes events, and logs a change.
func (s *Store) noteQuarantine(err error) {
	s.mu.Lock()
	changed := (err == nil) != (s.disk.quarantineErr == nil)
	s.disk.quarantineErr = err
	s.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		s.log(slog.LevelError, "audit quarantine takes no events, rejected ones stay pending", errorAttr(err))
	default:
		s.log(slog.LevelInfo, "audit quarantine takes events again")
	}
}
