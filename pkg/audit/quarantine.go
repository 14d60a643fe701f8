package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Quarantined is a rejected event with its contents.
type Quarantined struct {
	Rejection

	// Event is nil where a quarantine in memory had no more room for contents
	// (16 MiB), and for code damaged.
	Event *Event
	// Position is the event's place in the spool; 0 if it is not there.
	Position uint64
	// LostEvents is how many events a spool has lost, with code damaged; else 0.
	LostEvents int
}

// Acknowledge takes note of rejected and lost events: flushes no longer report
// them, and the quarantine forgets them. It returns how many of the ids it knew.
// With an error, which says that the spool could not forget them, flushes go on
// to report them.
func (s *Store) Acknowledge(ids ...uuid.UUID) (int, error) {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	wanted := idSet(ids)
	unnamed := s.unnamedOnDisk(wanted)
	if onDisk := s.mayBeOnDisk(ids); len(onDisk) > 0 {
		if err := s.spool.Discard(onDisk); err != nil {
			return 0, fmt.Errorf("acknowledge %d events: %w", len(ids), err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.Hurry() // a rejected event that did not fit into the quarantine may fit now
	for _, id := range ids {
		delete(s.retrying, id) // should it be rejected again, that is news
	}
	for _, correlationID := range unnamed {
		s.rejected.RemoveUnnamed(correlationID)
	}
	return len(unnamed) + s.rejected.Acknowledge(wanted) + s.lost.Acknowledge(wanted), nil
}

// mayBeOnDisk leaves out the events that Close declared lost, which are in no
// quarantine.
func (s *Store) mayBeOnDisk(ids []uuid.UUID) []uuid.UUID {
	if s.spool == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	inMemory := make(map[uuid.UUID]bool)
	for _, lost := range s.lost.Payloads() {
		inMemory[lost.ID] = lost.Type != damageType
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return inMemory[id] })
}

// unnamedOnDisk gives the correlation ids of those among some events that are in
// the quarantine on disk, and only counted in memory. Those that cannot be read
// go on to be counted until the spool is opened again.
func (s *Store) unnamedOnDisk(ids map[uuid.UUID]bool) []string {
	s.mu.Lock()
	counted := s.rejected.Unnamed() > 0
	named := s.rejected.IDs()
	s.mu.Unlock()
	if !counted || s.spool == nil {
		return nil
	}
	all, _ := s.spool.Quarantined() // an error comes with those that could be read
	var unnamed []string
	for i := range all {
		if ids[all[i].ID] && !named[all[i].ID] {
			unnamed = append(unnamed, all[i].CorrelationID)
		}
	}
	return unnamed
}

// AcknowledgeUnnamed takes note of the rejected and lost events that are only
// counted, because there were more than the store names. It returns how many
// they were. The error is as that of Acknowledge.
func (s *Store) AcknowledgeUnnamed() (int, error) {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	if s.spool != nil {
		if err := s.discardUnnamed(); err != nil {
			return 0, fmt.Errorf("acknowledge unnamed events: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.rejected.AcknowledgeUnnamed() + s.lost.AcknowledgeUnnamed()
	named := s.rejected.IDs()
	maps.DeleteFunc(s.retrying, func(id uuid.UUID, _ bool) bool { return !named[id] }) // as in Acknowledge
	return n, nil
}

func (s *Store) discardUnnamed() error {
	s.mu.Lock()
	named := s.rejected.IDs()
	unnamed := s.rejected.Unnamed() > 0
	s.mu.Unlock()
	if !unnamed {
		return nil
	}
	all, err := s.spool.Quarantined()
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	var ids []uuid.UUID
	for i := range all {
		if !named[all[i].ID] {
			ids = append(ids, all[i].ID)
		}
	}
	return s.spool.Discard(ids) //nolint:wrapcheck // wrapped by the caller
}

// Quarantine lists the rejected events that nobody acknowledged, oldest first:
// all of them with a spool, else the first 1,000. The events must not be changed.
// With an error come those that could be read.
func (s *Store) Quarantine() ([]Quarantined, error) {
	if s.spool != nil {
		all, err := s.spool.Quarantined()
		if err != nil {
			return all, fmt.Errorf("list the quarantine: %w", err)
		}
		return all, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected.Payloads(), nil
}

// Retry accepts rejected events again, once what made the sink reject them is
// repaired: those with the given ids, or all if none is given. It returns how
// many were accepted. An event whose contents the quarantine does not have
// stays there, and one that is being retried already is left to that. Events
// leave the quarantine when they are stored: until then flushes go on to report
// them, and after an error, and even a crash, retrying again is safe.
func (s *Store) Retry(ctx context.Context, ids ...uuid.UUID) (int, error) {
	all, err := s.Quarantine()
	wanted := idSet(ids)
	mine := make(map[uuid.UUID]bool, len(all)) // several events may wrongly have the same id
	retried := 0
	for i := range all {
		id := all[i].ID
		if all[i].Event == nil || len(ids) > 0 && !wanted[id] || !mine[id] && !s.beginRetry(id) {
			continue
		}
		mine[id] = true
		event := all[i].Event.clone()
		durability := Memory
		if s.spool != nil {
			durability = Spooled // it is on disk, and must not get lost on its way
		}
		if admitErr := s.admit(ctx, &event, durability); admitErr != nil {
			s.endRetry(id)
			err = errors.Join(err, admitErr)
			break
		}
		retried++
	}
	if err != nil {
		return retried, fmt.Errorf("retry rejected events: %w", err)
	}
	return retried, nil
}

// beginRetry returns false if somebody else retries a rejected event.
func (s *Store) beginRetry(id uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retrying[id] {
		return false
	}
	if s.retrying == nil {
		s.retrying = make(map[uuid.UUID]bool)
	}
	s.retrying[id] = true
	return true
}

// endRetry leaves an event in quarantine.
func (s *Store) endRetry(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.retrying, id)
}

// retried takes retried events that the sink has stored out of the quarantine.
// It is called before they become terminal: a flush that waits for them must not
// report them any more.
func (s *Store) retried(stored []*item) {
	s.mu.Lock()
	var ids []uuid.UUID
	for _, it := range stored {
		if len(s.retrying) > 0 && it.Event != nil && s.retrying[it.Event.ID] {
			ids = append(ids, it.Event.ID)
		}
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	if _, err := s.Acknowledge(ids...); err != nil {
		s.log(slog.LevelWarn, "audit quarantine keeps events although they are stored", slog.Int("events", len(ids)), errorAttr(err))
		for _, id := range ids {
			s.endRetry(id)
		}
	}
}

// rejectedAgain reports whether an event is in quarantine already, because it
// was retried. It stays there. Called with the lock.
func (s *Store) rejectedAgain(id uuid.UUID) bool {
	retried := s.retrying[id]
	delete(s.retrying, id)
	return retried
}

func idSet(ids []uuid.UUID) map[uuid.UUID]bool {
	set := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}
