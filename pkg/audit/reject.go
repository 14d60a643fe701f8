package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"kubernaut.ai/pkg/audit/wire"
)

// refused quarantines the events of the last part of the work that a refusal
// names, and returns the work that is left. Where the refusal does not say which
// events it means, or names some that are not there, the part is halved. An
// offender that cannot be quarantined stays pending, because it must not vanish;
// the others do not wait for it.
func (s *Store) refused(ctx context.Context, d *delivery, work [][]*item, refusal error, hurries uint64) [][]*item {
	part := work[len(work)-1]
	refusals := refusalsByIndex(part, refusal)
	if refusals == nil {
		return halve(work)
	}
	work = work[:len(work)-1]
	var offenders, rest []*item
	var rejected []Quarantined
	s.mu.Lock()
	if s.life.phase >= delivered {
		s.mu.Unlock()
		return nil // its events are reported already
	}
	for i, it := range part {
		r, offends := refusals[i]
		if !offends {
			rest = append(rest, it)
			continue
		}
		offenders = append(offenders, it)
		event := it.Event.clone()
		rejected = append(rejected, Quarantined{
			Rejection: Rejection{Reference: event.reference(), Code: wire.Truncate(r.Code, maxReason), Reason: wire.Truncate(r.Reason, maxReason)}, Event: &event, Position: it.Position,
		})
	}
	s.mu.Unlock()
	err := s.quarantine(offenders, rejected)
	if err != nil {
		work = append(work, offenders)
	} else {
		s.hook(HookRejected, len(rejected))
	}
	if len(rest) > 0 {
		return append(work, rest)
	}
	if err != nil {
		s.stall(ctx, d, err, hurries)
	}
	return work
}

// refusalsByIndex says what is wrong with which event; nil if the refusal does not.
func refusalsByIndex(part []*item, refusal error) map[int]Refusal {
	refusals := make(map[int]Refusal)
	var named *RefusedError
	if errors.As(refusal, &named) {
		for _, r := range named.Items {
			if r.Index < 0 || r.Index >= len(part) {
				clear(refusals)
				break
			}
			refusals[r.Index] = r
		}
	}
	if len(refusals) == 0 {
		if len(part) > 1 {
			return nil
		}
		refusals[0] = Refusal{Code: "refused", Reason: refusal.Error()}
	}
	return refusals
}

// maxReason bounds what a sink says about an event, in bytes: it is kept as long as the event.
const maxReason = 4 << 10

// quarantine moves rejected events to the quarantine, on disk first where there
// is a spool.
func (s *Store) quarantine(offenders []*item, rejected []Quarantined) error {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	if s.spool != nil {
		err := s.spool.Quarantine(rejected)
		s.noteQuarantine(err)
		if err != nil {
			return fmt.Errorf("quarantine %d rejected events: %w", len(rejected), err)
		}
	}
	s.mu.Lock()
	if s.life.phase >= delivered {
		s.mu.Unlock()
		return nil // its events are reported already
	}
	for i, it := range offenders {
		if s.rejectedAgain(rejected[i].ID) {
			continue
		}
		contents := rejected[i].Event
		if s.spool != nil {
			contents = nil // on disk
		}
		s.addRejected(it.Seq, rejected[i].Rejection, contents)
	}
	s.finish(offenders, outcome{rejected: rejected})
	s.mu.Unlock()

	s.metrics.rejected.Add(float64(len(rejected)))
	s.logRejected(rejected)
	return nil
}

// logRejected names rejected events, up to a bound, and counts the others.
func (s *Store) logRejected(rejected []Quarantined) {
	s.mu.Lock()
	named, counted := s.rejectionLog.Take(len(rejected), s.since(s.clock.Now()))
	s.mu.Unlock()
	for i := range rejected[:named] {
		s.log(slog.LevelWarn, "audit sink rejected an event, it is in quarantine", rejectionAttrs(rejected[i].Rejection)...)
	}
	if counted > 0 {
		s.log(slog.LevelWarn, "audit sink rejected more events, they are in quarantine", slog.Int("events", counted))
	}
}

func rejectionAttrs(r Rejection) []slog.Attr {
	return []slog.Attr{
		slog.String("event_id", r.ID.String()), slog.String("event_type", r.Type), slog.String("correlation_id", r.CorrelationID),
		slog.String("code", r.Code), slog.String("reason", r.Reason),
	}
}
