// Package failures remembers the events that will not be stored until somebody
// acknowledges them: the first by name, the rest as counts. Its types do not
// lock: the store's mutex guards them.
package failures

import (
	"slices"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/internal/barriers"
)

const (
	// MaxNamed is how many failures of a kind are kept by name.
	MaxNamed = 1000
	// MaxBytes bounds the contents of the events that are kept.
	MaxBytes = 16 << 20
)

// Failure is an event, or several, that will not be stored.
type Failure[P any] struct {
	// Seq is the event's sequence number; 0 for one of an earlier process.
	Seq           uint64
	ID            uuid.UUID
	CorrelationID string
	// Anyones marks a failure that may concern any correlation id.
	Anyones bool
	// Events is how many events it stands for; 0 means 1.
	Events int
	// Bytes is the size of the contents in the payload.
	Bytes   int
	Payload P
}

// key tells failures apart: a rejection that a replay repeats is the same one,
// another event that wrongly has its id is not.
type key struct {
	id            uuid.UUID
	correlationID string
}

// Set holds the failures of one kind, rejected or lost, that nobody
// acknowledged. The zero value is empty.
type Set[P any] struct {
	named []Failure[P]
	keys  map[key]bool
	// bytes is the size of the contents of the named, more the events that they
	// stand for besides one each.
	bytes, more int
	unnamed     unnamed
}

// moreEvents counts the events above one that a failure stands for.
func (f *Failure[P]) moreEvents() int { return max(f.Events-1, 0) }

// unnamed counts the failures above MaxNamed. The counts by correlation id let a
// flush tell its own from another's; where there are too many ids to tell,
// every flush has to report the rest.
type unnamed struct {
	total           int
	firstSeq        uint64
	byCorrelationID map[string]int
	anyones         int
}

// Count returns the number of events.
func (s *Set[P]) Count() int { return len(s.named) + s.more + s.unnamed.total }

// Unnamed returns the number of those that are only counted.
func (s *Set[P]) Unnamed() int { return s.unnamed.total }

// FitsBytes reports whether the contents of one more event may be kept.
func (s *Set[P]) FitsBytes(size int) bool { return s.bytes+size <= MaxBytes }

// Has reports whether a failure is known by name.
func (s *Set[P]) Has(id uuid.UUID, correlationID string) bool { return s.keys[key{id, correlationID}] }

// Add adds a failure, unless it is known by name. It reports whether it did.
func (s *Set[P]) Add(f Failure[P]) bool {
	k := key{f.ID, f.CorrelationID}
	if s.keys[k] {
		return false
	}
	if len(s.named) == MaxNamed {
		s.unnamed.add(f.Seq, f.CorrelationID, f.Anyones)
		return true
	}
	if s.keys == nil {
		s.keys = make(map[key]bool)
	}
	s.keys[k] = true
	s.bytes += f.Bytes
	s.more += f.moreEvents()
	s.named = append(s.named, f)
	return true
}

// AddAnyones counts a failure of which only the sequence number is known.
func (s *Set[P]) AddAnyones(seq uint64) { s.unnamed.add(seq, "", true) }

func (u *unnamed) add(seq uint64, correlationID string, anyones bool) {
	if u.total == 0 || seq < u.firstSeq {
		u.firstSeq = seq
	}
	u.total++
	if u.byCorrelationID == nil {
		u.byCorrelationID = make(map[string]int)
	}
	if _, known := u.byCorrelationID[correlationID]; anyones || !known && len(u.byCorrelationID) == MaxNamed {
		u.anyones++
		return
	}
	u.byCorrelationID[correlationID]++
}

// RemoveUnnamed takes back a failure that is only counted: the event was stored
// after all.
func (s *Set[P]) RemoveUnnamed(correlationID string) {
	u := &s.unnamed
	switch {
	case u.byCorrelationID[correlationID] > 0:
		u.byCorrelationID[correlationID]--
	case u.anyones > 0:
		u.anyones--
	default:
		return
	}
	u.total--
}

// Concerning returns the payloads of the named failures that concern a barrier,
// and how many events more do.
func (s *Set[P]) Concerning(b *barriers.Barrier) (payloads []P, unnamed int) {
	for i := range s.named {
		if f := &s.named[i]; f.Anyones || b.Covers(f.Seq, f.CorrelationID) {
			payloads = append(payloads, f.Payload)
			unnamed += f.moreEvents()
		}
	}
	u := &s.unnamed
	switch {
	case u.total == 0 || u.firstSeq > b.Seq:
	case b.CorrelationID == barriers.Everything:
		unnamed += u.total
	default:
		unnamed += u.byCorrelationID[b.CorrelationID] + u.anyones
	}
	return payloads, unnamed
}

// Of returns the payloads of the named failures of a correlation id, or of all
// if it is empty, and how many events more there are.
func (s *Set[P]) Of(correlationID string) (payloads []P, unnamed int) {
	for i := range s.named {
		if f := &s.named[i]; f.Anyones || correlationID == "" || f.CorrelationID == correlationID {
			payloads = append(payloads, f.Payload)
			unnamed += f.moreEvents()
		}
	}
	if correlationID == "" {
		return payloads, unnamed + s.unnamed.total
	}
	return payloads, unnamed + s.unnamed.byCorrelationID[correlationID] + s.unnamed.anyones
}

// Payloads returns those of the named failures, oldest first.
func (s *Set[P]) Payloads() []P {
	payloads := make([]P, len(s.named))
	for i := range s.named {
		payloads[i] = s.named[i].Payload
	}
	return payloads
}

// IDs returns those of the named failures.
func (s *Set[P]) IDs() map[uuid.UUID]bool {
	ids := make(map[uuid.UUID]bool, len(s.named))
	for i := range s.named {
		ids[s.named[i].ID] = true
	}
	return ids
}

// Acknowledge forgets failures by id and returns how many it knew.
func (s *Set[P]) Acknowledge(ids map[uuid.UUID]bool) int {
	before := len(s.named)
	s.named = slices.DeleteFunc(s.named, func(f Failure[P]) bool {
		if !ids[f.ID] {
			return false
		}
		s.bytes -= f.Bytes
		s.more -= f.moreEvents()
		delete(s.keys, key{f.ID, f.CorrelationID})
		return true
	})
	return before - len(s.named)
}

// AcknowledgeUnnamed forgets the failures that are only counted and returns how
// many there were.
func (s *Set[P]) AcknowledgeUnnamed() int {
	n := s.unnamed.total
	s.unnamed = unnamed{}
	return n
}
