package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"go.uber.org/zap"
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

	// Event is nil where a quarantine in memory had no more room for contents
	// (16 MiB), and for code damaged.
	Event *Event
	// Position is the event's place in the spool; 0 if it is not there.
	Position uint64
}

// failure is an event that will not be stored.
type failure struct {
	seq      uint64
	rejected Quarantined
}

// failureKey tells failures apart.
type failureKey struct {
	id            uuid.UUID
	correlationID string
}

// failures are the events of one kind, rejected or lost, that nobody
// acknowledged: the first 1,000 by name, the rest counted.
type failures struct {
	named []failure
	// ids are those of the named, with their correlation id: a rejection that a
	// replay repeats is the same one, another event that wrongly has its id is not.
	ids      map[failureKey]bool
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
	key := failureKey{rejection.ID, rejection.CorrelationID}
	if f.ids[key] {
		return
	}
	if len(f.named) == maxNamed {
		f.overflow.add(seq, rejection.CorrelationID)
		return
	}
	q := Quarantined{Rejection: rejection}
	if event != nil && f.bytes+event.Footprint() <= maxQuarantineBytes {
		f.bytes += event.Footprint()
		q.Event = event
	}
	if f.ids == nil {
		f.ids = make(map[failureKey]bool)
	}
	f.ids[key] = true
	f.named = append(f.named, failure{seq: seq, rejected: q})
}

func (o *overflow) add(seq uint64, correlationID string) {
	o.count(seq)
	if o.byCorrelation == nil {
		o.byCorrelation = make(map[string]int)
	}
	if _, known := o.byCorrelation[correlationID]; !known && len(o.byCorrelation) == maxNamed {
		o.anybodys++
		return
	}
	o.byCorrelation[correlationID]++
}

// remove takes back a nameless failure that is none any more.
func (o *overflow) remove(correlationID string) {
	switch {
	case o.byCorrelation[correlationID] > 0:
		o.byCorrelation[correlationID]--
	case o.anybodys > 0:
		o.anybodys--
	default:
		return
	}
	o.total--
}

// addAnybodys counts a failure of which the correlation id is not known.
func (o *overflow) addAnybodys(seq uint64) {
	o.count(seq)
	o.anybodys++
}

// count counts a failure, whosever it is.
func (o *overflow) count(seq uint64) {
	if o.total == 0 || seq < o.firstSeq {
		o.firstSeq = seq
	}
	o.total++
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
		// Damage on disk may concern anybody.
		if n := &f.named[i]; b.covers(n.seq, n.rejected.CorrelationID) || n.rejected.Code == codeDamaged {
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
			f.bytes -= n.rejected.Event.Footprint()
		}
		if known {
			delete(f.ids, failureKey{n.rejected.ID, n.rejected.CorrelationID})
		}
		return known
	})
	return before - len(f.named)
}

// names are the ids of the failures that have a name.
func (f *failures) names() map[uuid.UUID]bool {
	names := make(map[uuid.UUID]bool, len(f.named))
	for i := range f.named {
		names[f.named[i].rejected.ID] = true
	}
	return names
}

// Acknowledge takes note of rejected and lost events: flushes report them no
// longer, and the quarantine forgets them. It says how many of the ids it knew.
// The error says that the spool could not forget them; then they are reported still.
func (s *Store) Acknowledge(ids ...uuid.UUID) (int, error) {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	if kept := s.mayBeOnDisk(ids); len(kept) > 0 {
		if err := s.spool.Discard(kept); err != nil {
			return 0, fmt.Errorf("acknowledge %d events: %w", len(ids), err)
		}
	}
	wanted := idSet(ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kick() // a refused event that found no room may find it now
	for _, id := range ids {
		delete(s.retrying, id) // should it be rejected again, that is news
	}
	return s.rejected.acknowledge(wanted) + s.lost.acknowledge(wanted), nil
}

// mayBeOnDisk leaves out the lost events, which are in no quarantine.
func (s *Store) mayBeOnDisk(ids []uuid.UUID) []uuid.UUID {
	if s.spool == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.lost.names()
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return lost[id] })
}

// AcknowledgeUnnamed takes note of the rejected and lost events that are only
// counted, because there were more than the store names. It says how many they
// were. The error is as that of Acknowledge.
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
	n := s.rejected.overflow.total + s.lost.overflow.total
	s.rejected.overflow, s.lost.overflow = overflow{}, overflow{}
	named := s.rejected.names()
	maps.DeleteFunc(s.retrying, func(id uuid.UUID, _ bool) bool { return !named[id] }) // as in Acknowledge
	return n, nil
}

func (s *Store) discardUnnamed() error {
	s.mu.Lock()
	named := s.rejected.names()
	unnamed := s.rejected.overflow.total > 0
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
	list := make([]Quarantined, 0, len(s.rejected.named))
	for i := range s.rejected.named {
		list = append(list, s.rejected.named[i].rejected)
	}
	return list, nil
}

// Retry accepts rejected events again, once what made the sink refuse them is
// mended: those with the given ids, or all where none is given. It says how
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
			durability = Spooled // it is on disk now, and must not get lost on its way
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

// beginRetry says whether nobody else retries a rejected event.
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

// mended takes retried events that the sink has stored out of the quarantine.
// It comes before they settle: a flush that waits for them must not report them
// any more.
func (s *Store) mended(stored []*item) {
	s.mu.Lock()
	var ids []uuid.UUID
	var unnamed []string
	for _, it := range stored {
		if len(s.retrying) > 0 && it.state != itemSettled && s.retrying[it.event.ID] {
			ids = append(ids, it.event.ID)
			if !s.rejected.ids[failureKey{it.event.ID, it.event.CorrelationID}] {
				unnamed = append(unnamed, it.event.CorrelationID)
			}
		}
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	if _, err := s.Acknowledge(ids...); err != nil {
		s.logger.Warn("audit quarantine keeps events although they are stored now", zap.Int("events", len(ids)), zap.Error(err))
		for _, id := range ids {
			s.endRetry(id)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, correlationID := range unnamed {
		s.rejected.overflow.remove(correlationID)
	}
}

// rejectedAgain says whether an event is in quarantine already, because it was
// retried. It stays there. Called with the lock.
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
