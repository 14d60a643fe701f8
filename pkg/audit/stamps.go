package audit

import (
	"time"

	"github.com/google/uuid"
)

// clockSetBack is how far the clock may be set back for time stamps to continue
// where they were, within a process and across restarts. DataStorage counts
// time stamps that are more than 5 minutes ahead as those of a wrong clock: one
// that was wrong once must not spoil all events from then on.
const clockSetBack = 5*time.Minute - 10*time.Second

// stamps numbers and dates the events of a store. The store's mutex guards it.
type stamps struct {
	// epoch identifies the process: when the store was made, in Unix milliseconds.
	epoch int64
	// produced is the newest sequence number of the epoch.
	produced uint64
	// last is the newest time stamp.
	last time.Time
}

// next returns a time stamp that is later than the one before, by its microsecond.
func (s *stamps) next(now time.Time) time.Time {
	stamp := now.UTC().Truncate(time.Microsecond)
	if !stamp.After(s.last) && s.last.Sub(stamp) < clockSetBack {
		stamp = s.last.Add(time.Microsecond)
	}
	s.last = stamp
	s.produced++
	return stamp
}

// unstamp takes back the numbers of so many events that were not persisted, the
// newest of which has a number. Where another event took one since, a gap stays.
func (s *stamps) unstamp(events int, newest uint64) {
	if newest == s.produced {
		s.produced -= uint64(events) //nolint:gosec // not negative
	}
}

// stamp gives an event its producer fields and what it still lacks. Called with
// the lock, so that sequence numbers, time stamps and ids have the order of
// acceptance.
func (s *Store) stamp(event *Event, now time.Time, withTime bool) {
	stamp := s.stamps.next(now)
	if event.ID == uuid.Nil {
		event.ID = newID(stamp, s.random)
	}
	if withTime {
		event.Timestamp = stamp
	} else {
		event.Timestamp = event.Timestamp.UTC().Truncate(time.Microsecond)
	}
	event.Producer = Producer{ID: s.producerID, Epoch: s.stamps.epoch, Sequence: s.stamps.produced}
}
