package audit

import (
	"slices"

	"github.com/google/uuid"
)

const (
	// maxNamed is how many rejected, and lost, events are kept by name.
	maxNamed = 1000
	// maxQuarantineBytes bounds the contents of the rejected events that are kept.
	maxQuarantineBytes = 16 << 20
)

// Quarantined is a rejected event with its contents.
type Quarantined struct {
	Rejection

	// Event is nil where the quarantine had no more room for contents (16 MiB).
	Event *Event
}

// failure is an event that will not be stored.
type failure struct {
	seq      uint64
	rejected Quarantined
}

// failures are the events of one kind, rejected or lost, that nobody
// acknowledged: the first 1,000 by name, the rest counted.
type failures struct {
	named    []failure
	bytes    int
	overflow overflow
}

// overflow counts failures that have no name any more. The counts by
// correlation id let FlushFor tell its own from another's; when there are too
// many ids to tell, every flush has to report the rest.
type overflow struct {
	total         int
	firstSeq      uint64
	byCorrelation map[string]int
	anybodys      int
}

func (f *failures) count() int { return len(f.named) + f.overflow.total }

// add keeps a failure; event is nil where contents are not kept.
func (f *failures) add(seq uint64, rejection Rejection, event *Event) {
	if len(f.named) == maxNamed {
		f.overflow.add(seq, rejection.CorrelationID)
		return
	}
	q := Quarantined{Rejection: rejection}
	if event != nil && f.bytes+event.footprint() <= maxQuarantineBytes {
		f.bytes += event.footprint()
		q.Event = event
	}
	f.named = append(f.named, failure{seq: seq, rejected: q})
}

func (o *overflow) add(seq uint64, correlationID string) {
	if o.total == 0 || seq < o.firstSeq {
		o.firstSeq = seq
	}
	o.total++
	if o.byCorrelation == nil {
		o.byCorrelation = make(map[string]int)
	}
	if _, known := o.byCorrelation[correlationID]; !known && len(o.byCorrelation) == maxNamed {
		o.anybodys++
		return
	}
	o.byCorrelation[correlationID]++
}

// unnamed counts the nameless failures that concern a barrier.
func (o *overflow) unnamed(b *barrier) int {
	switch {
	case o.total == 0 || o.firstSeq > b.seq:
		return 0
	case b.all:
		return o.total
	default:
		return o.byCorrelation[b.correlationID] + o.anybodys
	}
}

// of gives the named failures that concern a barrier.
func (f *failures) of(b *barrier) []Rejection {
	var found []Rejection
	for i := range f.named {
		if n := &f.named[i]; b.covers(n.seq, n.rejected.CorrelationID) {
			found = append(found, n.rejected.Rejection)
		}
	}
	return found
}

// acknowledge forgets failures by id, and says how many it knew.
func (f *failures) acknowledge(ids map[uuid.UUID]bool) int {
	before := len(f.named)
	f.named = slices.DeleteFunc(f.named, func(n failure) bool {
		known := ids[n.rejected.ID]
		if known && n.rejected.Event != nil {
			f.bytes -= n.rejected.Event.footprint()
		}
		return known
	})
	return before - len(f.named)
}

// Acknowledge takes note of rejected and lost events: flushes report them no
// longer, and the quarantine forgets them. It says how many of the ids it knew.
func (s *Store) Acknowledge(ids ...uuid.UUID) int {
	wanted := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected.acknowledge(wanted) + s.lost.acknowledge(wanted)
}

// AcknowledgeUnnamed takes note of the rejected and lost events that are only
// counted, because there were more than the quarantine can name. It says how
// many they were.
func (s *Store) AcknowledgeUnnamed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.rejected.overflow.total + s.lost.overflow.total
	s.rejected.overflow, s.lost.overflow = overflow{}, overflow{}
	return n
}

// Quarantine lists the rejected events that nobody acknowledged, oldest
// first, the first 1,000 of them. The events must not be changed.
func (s *Store) Quarantine() []Quarantined {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Quarantined, 0, len(s.rejected.named))
	for i := range s.rejected.named {
		list = append(list, s.rejected.named[i].rejected)
	}
	return list
}
