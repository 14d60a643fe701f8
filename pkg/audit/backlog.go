package audit

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// backlog are the owed events that are in the spool only. They follow those in
// memory: while there are any, everything accepted goes behind them, so that
// their sequence numbers have no gap and the order of acceptance is kept.
type backlog struct {
	events, bytes int
	// unread are those of the events that the spool has lost, and that have yet
	// to be settled as such.
	unread int
	// next is the position to read from, last that of the newest.
	next, last uint64
	// since is when it began, or began to be this store's.
	since time.Time
}

func (b *backlog) add(position uint64, size int, now time.Time) {
	if b.events == 0 {
		b.next, b.since = position, now
	}
	b.events++
	b.bytes += size
	b.last = position
}

// take removes loaded and damaged events from the front.
func (b *backlog) take(events, bytes int, next uint64) {
	b.events -= events
	b.bytes -= bytes
	b.next = next
	if b.events == 0 {
		b.bytes = 0
	}
}

// wantsLoad says whether events should be read back: there are too few waiting
// for a full batch, and the largest event would fit. Called with the lock.
func (s *Store) wantsLoad() bool {
	return s.backlog.events > 0 && s.waiting < s.goal && s.fits(MaxFootprint)
}

// load reads events back from the spool. Only the dispatcher calls it.
func (s *Store) load() {
	s.mu.Lock()
	from, upTo, owed := s.backlog.next, s.backlog.last, s.backlog.events
	events := min(s.maxEvents-s.queue.events, owed, 2*s.goal)
	bytes := min(s.maxBytes-s.queue.bytes, 2*s.batchBytes)
	s.mu.Unlock()

	kept, damaged, err := s.spool.Read(from, events, bytes)
	if err != nil {
		s.spoolUnreadable(fmt.Errorf("read the audit spool from position %d: %w", from, err))
		if damaged == 0 {
			return
		}
		// What is known to be lost is, whatever else cannot be read.
		s.observer(MomentLoaded, s.loaded(nil, damaged, from-1, owed))
		return
	}
	s.spoolReadable()
	for len(kept) > 0 && kept[len(kept)-1].Position > upTo {
		// On disk already, but its Record has yet to return.
		kept = kept[:len(kept)-1]
	}
	if len(kept) == 0 {
		damaged = owed // nothing is left where they were
	}
	s.observer(MomentLoaded, s.loaded(kept, damaged, upTo, owed))
}

// spoolUnreadable keeps the backlog owed, and tries again after the longest pause, or with the next flush.
func (s *Store) spoolUnreadable(err error) {
	s.mu.Lock()
	changed := s.noteSpool(err)
	s.mu.Unlock()
	if changed {
		s.logSpool(err)
	}
	s.unreadable = true
	s.loadAgain = s.clock.After(s.longestBackoff)
}

func (s *Store) spoolReadable() {
	if !s.unreadable {
		return
	}
	s.unreadable = false
	s.loadAgain = nil
	s.mu.Lock()
	changed := s.noteSpool(nil)
	s.mu.Unlock()
	if changed {
		s.logSpool(nil)
	}
}

// loaded queues events that were read back, and notes those that could not be.
// Of the backlog, owed events up to position upTo were there when the read began.
func (s *Store) loaded(kept []SpooledEvent, damaged int, upTo uint64, owed int) int {
	s.mu.Lock()
	damaged = min(damaged, owed-len(kept))

	bytes := 0
	next := upTo + 1
	for i := range kept {
		k := &kept[i]
		event := k.Event
		size := event.Footprint()
		it := s.queue.push(&event, size, k.Position, s.backlog.since)
		it.loaded = true
		bytes += size
		next = k.Position + 1
		s.waiting++
		s.waitingBytes += size
		s.sendTo = max(s.sendTo, it.seq) // it has waited long enough
	}
	first := s.queue.last - uint64(len(kept)) + 1
	s.backlog.take(len(kept), bytes, next)
	s.backlog.unread += damaged
	s.tell(first)
	if damaged > 0 {
		s.answerUnread(kept, next)
	}
	s.mu.Unlock()

	if damaged > 0 {
		s.metrics.lost.Add(float64(damaged))
		s.logger.Error("audit spool is damaged, events are lost", zap.Int("lost_events", damaged), zap.Uint64("before_position", next))
	}
	return len(kept)
}

// answerUnread tells those who wait for an event that was lost on disk, among
// those before a position. Called with the lock.
func (s *Store) answerUnread(kept []SpooledEvent, next uint64) {
	read := make(map[Producer]bool, len(kept))
	for i := range kept {
		read[kept[i].Event.Producer] = true
	}
	for place, w := range s.waiters {
		if w.position != 0 && w.position < next && !read[place] {
			s.answer(place, nil, true)
		}
	}
}

// tell lets the flushes of one correlation id look at the events that were
// loaded: until then any of them might have been theirs. Called with the lock.
func (s *Store) tell(first uint64) {
	for _, b := range s.everyBarrier() {
		if b.all {
			continue
		}
		s.queue.each(first, min(b.seq, s.queue.last), func(it *item) bool {
			if it.event.CorrelationID != b.correlationID {
				b.remaining--
				b.others++
			}
			return true
		})
	}
	s.openBarriers()
}

// maxUnread is how many lost events get a place in the queue at a time.
const maxUnread = 1000

// loseUnread settles events of which nothing is known but that they were
// accepted: every flush that covers them fails, whatever its correlation id.
// Called with the lock.
func (s *Store) loseUnread() {
	count := min(s.backlog.unread, maxUnread)
	s.backlog.unread -= count
	s.backlog.take(count, 0, s.backlog.next)
	for range count {
		it := s.queue.push(nil, 0, s.backlog.next-1, s.clock.Now())
		s.lost.overflow.addAnybodys(it.seq)
		for _, b := range s.everyBarrier() {
			if it.seq <= b.seq {
				b.remaining--
				b.failed++
			}
		}
		s.queue.settle(it)
	}
	s.openBarriers()
	s.wakeRecorders()
}

// adopt takes over what the spool has from an earlier life. A quarantine that
// cannot be read or written is no reason not to record what happens now.
func (s *Store) adopt() {
	if s.spool == nil {
		return
	}
	state := s.spool.State()
	s.backlog = backlog{events: state.Events, bytes: state.EventBytes, next: state.First, last: state.Last, since: s.clock.Now()}
	rejected, err := s.spool.Quarantined()
	s.spoolErr = err
	for _, q := range rejected {
		s.rejected.add(0, q.Rejection, nil)
	}
	if state.Damage.Events > 0 {
		report := damageReport(state.Damage)
		if err := s.spool.Quarantine([]Quarantined{report}); err != nil {
			s.spoolErr = errors.Join(s.spoolErr, err)
		}
		s.rejected.add(0, report.Rejection, nil)
	}
	s.continueStamps(state.Last)
}

// clockSetBack is how far the clock may be set back for stamps to go on where
// they were, in one life and over lives. DataStorage refuses stamps that are
// more than 5 minutes ahead: a clock that was wrong for once must not cost all
// events from then on.
const clockSetBack = 5*time.Minute - 10*time.Second

// continueStamps makes this life's stamps later than those of the last one,
// also when the clock was set back in between.
func (s *Store) continueStamps(newest uint64) {
	kept, _, err := s.spool.Read(newest, 1, MaxFootprint)
	if err != nil {
		return // the dispatcher will meet and report it
	}
	for i := range kept {
		if stamp := kept[i].Event.Timestamp; stamp.Sub(s.clock.Now()) < clockSetBack {
			s.lastStamp = stamp
		}
	}
}

// codeDamaged marks a rejection that stands for events lost on disk.
const codeDamaged = "damaged"

// damageReport puts a spool's damage among the rejections, where it is reported
// until somebody acknowledges it. Its id follows from the damage, so that the
// same damage is reported once.
func damageReport(damage SpoolDamage) Quarantined {
	return Quarantined{Rejection: Rejection{
		Reference: Reference{ID: DerivedID(time.Unix(0, 0), codeDamaged, damage.Detail), Type: "audit.spool.damaged"},
		Code:      codeDamaged,
		Reason:    fmt.Sprintf("%d events are lost: %s", damage.Events, damage.Detail),
	}}
}

// reportAdopted logs and counts what was taken over.
func (s *Store) reportAdopted() {
	if s.spool == nil {
		return
	}
	state := s.spool.State()
	if s.spoolErr != nil {
		s.logSpool(s.spoolErr)
	}
	if state.Events > 0 {
		s.metrics.recovered.Add(float64(state.Events))
		s.logger.Info("audit spool has events of an earlier life",
			zap.Int("owed_events", state.Events), zap.Int64("spool_bytes", state.Bytes))
	}
	if damage := state.Damage; damage != (SpoolDamage{}) {
		s.metrics.lost.Add(float64(damage.Events))
		s.logger.Warn("audit spool was damaged, the rest is recovered",
			zap.Int("lost_events", damage.Events), zap.Int64("unreadable_bytes", damage.Bytes), zap.String("detail", damage.Detail))
	}
}
