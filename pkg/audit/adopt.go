package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kubernaut.ai/pkg/audit/internal/failures"
	"kubernaut.ai/pkg/audit/internal/queue"
)

// adopt takes over what the spool has from an earlier process. A quarantine that
// cannot be read or written is no reason not to record what happens now.
func (s *Store) adopt() {
	if s.spool == nil {
		return
	}
	state := s.spool.State()
	s.backlog = queue.Backlog{Events: state.Events, Bytes: state.EventBytes, Next: state.First, Last: state.Last}
	quarantined, err := s.spool.Quarantined()
	s.disk.spoolErr = err
	for i := range quarantined {
		s.addQuarantined(&quarantined[i])
	}
	if state.Damage.Events > 0 {
		report := damageReport(state.Damage)
		if err := s.spool.Quarantine([]Quarantined{report}); err != nil {
			s.disk.spoolErr = errors.Join(s.disk.spoolErr, err)
		}
		s.addQuarantined(&report)
	}
	s.continueStamps(state.Last)
}

// addQuarantined makes flushes report what the quarantine has from an earlier process.
func (s *Store) addQuarantined(q *Quarantined) {
	if q.Code != codeDamaged {
		s.addRejected(0, q.Rejection, nil)
		return
	}
	s.lost.Add(failures.Failure[Reference]{ID: q.ID, Anyones: true, Events: q.LostEvents, Payload: q.Reference})
}

// addRejected adds a rejection to those that flushes report, with the event
// where it is kept in memory.
func (s *Store) addRejected(seq uint64, r Rejection, event *Event) {
	f := failures.Failure[Quarantined]{
		Seq: seq, ID: r.ID, CorrelationID: r.CorrelationID, Payload: Quarantined{Rejection: r},
	}
	if event != nil && s.rejected.FitsBytes(event.Footprint()) {
		f.Bytes, f.Payload.Event = event.Footprint(), event
	}
	s.rejected.Add(f)
}

// continueStamps makes this process's time stamps later than those of the one
// before it, also if the clock was set back in between.
func (s *Store) continueStamps(newest uint64) {
	read, _, err := s.spool.Read(newest, 1, MaxFootprint)
	if err != nil {
		return // the dispatcher will meet and report it
	}
	for i := range read {
		if stamp := read[i].Event.Timestamp; stamp.Sub(s.clock.Now()) < clockSetBack {
			s.stamps.last = stamp
		}
	}
}

const (
	// codeDamaged marks an entry of the quarantine that stands for events lost on
	// disk, damageType is its event type.
	codeDamaged = "damaged"
	damageType  = "audit.spool.damaged"
)

// damageReport puts a spool's damage into the quarantine, so that flushes report
// it until somebody acknowledges it. Its id follows from the damage, so that the
// same damage is reported once.
func damageReport(damage SpoolDamage) Quarantined {
	return Quarantined{
		Rejection: Rejection{
			Reference: Reference{ID: DerivedID(time.Unix(0, 0), codeDamaged, damage.Detail), Type: damageType},
			Code:      codeDamaged,
			Reason:    fmt.Sprintf("%d events are lost: %s", damage.Events, damage.Detail),
		},
		LostEvents: damage.Events,
	}
}

// reportAdopted logs and counts what was taken over.
func (s *Store) reportAdopted() {
	if s.spool == nil {
		return
	}
	state := s.spool.State()
	if s.disk.spoolErr != nil {
		s.logSpool(s.disk.spoolErr)
	}
	if state.Events > 0 {
		s.metrics.recovered.Add(float64(state.Events))
		s.log(slog.LevelInfo, "audit spool has events of an earlier process",
			slog.Int("pending_events", state.Events), slog.Int64("spool_bytes", state.Bytes))
	}
	if damage := state.Damage; damage != (SpoolDamage{}) {
		s.metrics.lost.Add(float64(damage.Events))
		level, message := slog.LevelWarn, "audit spool was damaged, no accepted event is known to be lost"
		if damage.Events > 0 {
			level, message = slog.LevelError, "audit spool was damaged, events are lost"
		}
		s.log(level, message, slog.Int("lost_events", damage.Events),
			slog.Int64("unreadable_bytes", damage.Bytes), slog.String("detail", damage.Detail))
	}
	if n := s.rejected.Count(); n > 0 {
		first := s.rejected.Payloads()[0].Rejection
		s.log(slog.LevelWarn, "audit quarantine has rejected events that nobody acknowledged",
			append(rejectionAttrs(first), slog.Int("events", n))...)
	}
	if n := s.lost.Count() - state.Damage.Events; n > 0 {
		s.log(slog.LevelError, "audit events were lost in an earlier process, and nobody acknowledged that", slog.Int("lost_events", n))
	}
}
