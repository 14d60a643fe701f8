// Package barriers counts for each flush which of the events it covers are
// still pending. The types do not lock: the store's mutex guards them.
package barriers

import "slices"

// Everything is the correlation id of a barrier that covers every event.
const Everything = ""

// Barrier is shared by the flushes of the same events.
type Barrier struct {
	// CorrelationID whose events it covers, or Everything.
	CorrelationID string
	// Seq is the newest covered sequence number.
	Seq uint64
	// Remaining counts the covered events that are not terminal.
	Remaining int
	// Failed counts the covered events that became terminal without being stored.
	Failed int
	// Foreign counts the events of other correlation ids that remained only
	// until they were read back from the spool.
	Foreign int
	// Done is closed when nothing remains.
	Done chan struct{}

	// callers counts the flushes that wait.
	callers int
}

// Covers reports whether an event counts for the barrier.
func (b *Barrier) Covers(seq uint64, correlationID string) bool {
	return seq <= b.Seq && (b.CorrelationID == Everything || b.CorrelationID == correlationID)
}

func (b *Barrier) pass(failed bool) {
	b.Remaining--
	if failed {
		b.Failed++
	}
}

// Ticket is one flush's share of a barrier: it remembers what the barrier
// counted when the flush joined.
type Ticket struct {
	*Barrier

	remaining, failed, foreign int
}

// AtJoin returns the number of events that remained when the flush joined. It
// needs no lock.
func (t Ticket) AtJoin() int { return t.remaining }

// Events returns the number of events that the flush waited for.
func (t Ticket) Events() int { return t.remaining - (t.Foreign - t.foreign) }

// Stored returns how many of them are stored by now.
func (t Ticket) Stored() int { return t.Events() - t.Remaining - (t.Failed - t.failed) }

// Set holds the barriers at which flushes wait. The zero value is empty.
type Set struct {
	// all are the barriers that cover everything, in the order of their
	// sequence numbers; byID has the others.
	all  []*Barrier
	byID map[string][]*Barrier
}

// Join returns a ticket for the barrier at a sequence number, which must be the
// newest. Where nobody waits there yet, remaining counts the events that the
// new barrier covers.
func (s *Set) Join(correlationID string, seq uint64, remaining func() int) Ticket {
	same := s.all
	if correlationID != Everything {
		same = s.byID[correlationID]
	}
	var b *Barrier
	if n := len(same); n > 0 && same[n-1].Seq == seq {
		b = same[n-1]
	} else {
		b = s.add(correlationID, seq, remaining())
	}
	b.callers++
	return Ticket{Barrier: b, remaining: b.Remaining, failed: b.Failed, foreign: b.Foreign}
}

// Leave ends a flush's wait. A barrier at which nobody waits is dropped.
func (s *Set) Leave(t Ticket) {
	t.callers--
	if t.callers > 0 || t.Remaining == 0 {
		return
	}
	left := func(b *Barrier) bool { return b == t.Barrier }
	if t.CorrelationID == Everything {
		s.all = slices.DeleteFunc(s.all, left)
		return
	}
	s.keep(t.CorrelationID, slices.DeleteFunc(s.byID[t.CorrelationID], left))
}

// Pass counts an event that became terminal. Call Open after the last of them.
func (s *Set) Pass(seq uint64, correlationID string, failed bool) {
	pass(s.all, seq, failed)
	if len(s.byID) > 0 {
		pass(s.byID[correlationID], seq, failed)
	}
}

func pass(barriers []*Barrier, seq uint64, failed bool) {
	for _, b := range barriers {
		if seq <= b.Seq {
			b.pass(failed)
		}
	}
}

// Lose counts an event that will never be stored and whose correlation id is
// unknown: it fails every flush that covers its sequence number.
func (s *Set) Lose(seq uint64) {
	pass(s.all, seq, true)
	for _, of := range s.byID {
		pass(of, seq, true)
	}
}

// Selective reports whether a barrier waits for one correlation id: then
// Identify has to be called for each event that is read back from the spool.
func (s *Set) Selective() bool { return len(s.byID) > 0 }

// Identify tells the correlation id of an event that was on disk: until then
// every barrier that covers its sequence number had to count it.
func (s *Set) Identify(seq uint64, correlationID string) {
	for id, of := range s.byID {
		if id == correlationID {
			continue
		}
		for _, b := range of {
			if seq <= b.Seq {
				b.Remaining--
				b.Foreign++
			}
		}
	}
}

// Open lets the flushes go on at whose barriers nothing remains.
func (s *Set) Open() {
	open := func(b *Barrier) bool {
		if b.Remaining > 0 {
			return false
		}
		close(b.Done)
		return true
	}
	s.all = slices.DeleteFunc(s.all, open)
	for id, of := range s.byID {
		s.keep(id, slices.DeleteFunc(of, open))
	}
}

func (s *Set) add(correlationID string, seq uint64, remaining int) *Barrier {
	b := &Barrier{CorrelationID: correlationID, Seq: seq, Remaining: remaining, Done: make(chan struct{})}
	switch {
	case remaining == 0:
		close(b.Done)
	case correlationID == Everything:
		s.all = append(s.all, b)
	default:
		if s.byID == nil {
			s.byID = make(map[string][]*Barrier)
		}
		s.byID[correlationID] = append(s.byID[correlationID], b)
	}
	return b
}

func (s *Set) keep(correlationID string, left []*Barrier) {
	if len(left) == 0 {
		delete(s.byID, correlationID)
		return
	}
	s.byID[correlationID] = left
}
