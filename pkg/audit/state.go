package audit

import (
	"time"

	"kubernaut.ai/pkg/audit/internal/failures"
)

// State is what a store holds at a moment, and how its sink and its spool do.
type State struct {
	// Pending is how many events are accepted, and neither stored nor rejected nor
	// lost; PendingBytes is the sum of their footprints.
	Pending, PendingBytes int
	// Spooled is how many of the pending are on disk: they outlive the process.
	Spooled int
	// Oldest is how long the oldest of them has waited; 0 if there is none.
	Oldest time.Duration
	// Stalled is how many of the pending the sink does not take for now.
	Stalled int
	// BatchesInFlight are being written, or wait for the sink; StalledBatches of
	// them back off because of their own events.
	BatchesInFlight, StalledBatches int
	// Rejected and Lost are the events that nobody acknowledged; Retrying of the
	// rejected were accepted again and are pending.
	Rejected, Lost, Retrying int
	// SinkError and SpoolError are the newest failures; nil while both work.
	SinkError, SpoolError error
	// Spool is nil without a spool.
	Spool *SpoolState
}

// State describes the store. It never waits for the sink or the medium.
func (s *Store) State() State {
	var disk *SpoolState
	if s.spool != nil {
		state := s.spool.State()
		disk = &state
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	inMemory := 0
	s.queue.Pending(s.queue.Last(), func(it *item) {
		if it.Position == 0 {
			inMemory++
		}
	})
	return State{
		Pending: s.pending(), PendingBytes: s.queue.Bytes() + s.backlog.Bytes, Spooled: s.pending() - inMemory,
		Oldest:          time.Duration(s.oldestPendingAge() * float64(time.Second)),
		Stalled:         len(s.queue.Aside()),
		BatchesInFlight: s.window.InFlight(), StalledBatches: s.window.Stalled(),
		Rejected: s.rejected.Count(), Lost: s.lost.Count(), Retrying: len(s.retrying),
		SinkError: s.health.WriteErr(), SpoolError: s.disk.err(), Spool: disk,
	}
}

// Unacknowledged are the rejected and lost events that nobody acknowledged, as a
// flush reports them.
type Unacknowledged struct {
	Rejected        []Rejection
	RejectedUnnamed int
	Lost            []Reference
	LostUnnamed     int
}

// Unacknowledged lists the rejected and lost events, those of one correlation id
// if it is not empty. What may concern any correlation id is always listed. It
// waits for nothing.
func (s *Store) Unacknowledged(correlationID string) Unacknowledged {
	s.mu.Lock()
	defer s.mu.Unlock()
	var u Unacknowledged
	var rejected []Quarantined
	rejected, u.RejectedUnnamed = s.rejected.Of(correlationID)
	for i := range rejected {
		u.Rejected = append(u.Rejected, rejected[i].Rejection)
	}
	u.Lost, u.LostUnnamed = s.lost.Of(correlationID)
	return u
}

// StalledEvents names the first 1,000 pending events that the sink does not take
// for now, those of one correlation id if it is not empty, and says why.
func (s *Store) StalledEvents(correlationID string) []StalledEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e FlushError
	for _, it := range s.queue.Aside() {
		if correlationID == "" || it.CorrelationID == correlationID {
			s.reportStalled(&e, it)
		}
	}
	return e.Stalled
}

// PendingEvents names the first 1,000 pending events in memory, oldest first,
// those of one correlation id if it is not empty.
func (s *Store) PendingEvents(correlationID string) []Reference {
	s.mu.Lock()
	defer s.mu.Unlock()
	var named []Reference
	s.queue.Pending(s.queue.Last(), func(it *item) {
		if len(named) < failures.MaxNamed && it.Event != nil && (correlationID == "" || it.CorrelationID == correlationID) {
			named = append(named, it.Event.reference())
		}
	})
	return named
}
