package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/audit/wire"
)

// delivery is a batch in flight.
type delivery struct {
	batch []*item
	// correlationIDs are the different ones of the batch: items forget theirs when they settle.
	correlationIDs []string
	// stalls counts its pauses for something that is its own affair.
	stalls int
	// broken counts the writes that the sink failed with a 500, but for others in between.
	broken int
}

// deliver writes a batch until each of its events is settled, or ctx ends. A
// refused batch is written again without the events that the sink named, or in
// halves, first half first, until the offender stands alone. A batch that takes
// too long is halved as well: it may be too large for a slow sink; and so is one
// that the sink stumbles over again and again.
func (s *Store) deliver(ctx context.Context, d *delivery) {
	for work := [][]*item{d.batch}; len(work) > 0 && ctx.Err() == nil; {
		part := work[len(work)-1]
		if s.tooMany(part) {
			work = halve(work)
			continue
		}
		kicks := s.kicksSoFar()
		ack, err := s.write(ctx, part)
		switch {
		case err == nil:
			s.stored(part, ack)
			work = work[:len(work)-1]
		case errors.Is(err, ErrRefused):
			s.sinkAnswered()
			work = s.refused(ctx, d, work, err, kicks)
		case ctx.Err() != nil:
			return
		case d.isBroken(err):
			s.metrics.retries.Inc()
			s.sinkAnswered()
			if len(part) > 1 {
				work = halve(work) // to leave the good ones out of it
			} else {
				work = stepBack(work) // the others do not wait for it
			}
			s.stall(ctx, d, err, kicks)
		default:
			s.sinkFailed(err, len(part))
			if errors.Is(err, errTooSlow) && len(part) > 1 {
				s.lowerGoal(len(part))
			}
			s.awaitSink(ctx, d, err, kicks)
		}
	}
}

// halve splits the part that is next, the first half first.
func halve(work [][]*item) [][]*item {
	part := work[len(work)-1]
	return append(work[:len(work)-1], part[len(part)/2:], part[:len(part)/2])
}

// stepBack lets a part that is held up wait until what is behind it is written,
// but for events of the same correlation ids: these must not overtake it.
func stepBack(work [][]*item) [][]*item {
	part := work[len(work)-1]
	held := make(map[string]bool)
	for _, it := range part {
		held[it.event.CorrelationID] = true
	}
	var same, others []*item
	for i := len(work) - 2; i >= 0; i-- {
		for _, it := range work[i] {
			if held[it.event.CorrelationID] {
				same = append(same, it)
			} else {
				others = append(others, it)
			}
		}
	}
	work = work[:0]
	for _, next := range [][]*item{same, part, others} {
		if len(next) > 0 {
			work = append(work, next)
		}
	}
	return work
}

// errTooSlow is wrapped by the error of a write that did not return within the write timeout.
var errTooSlow = errors.New("no answer within the write timeout")

// write calls the sink once.
func (s *Store) write(ctx context.Context, part []*item) (Ack, error) {
	events := s.batchOf(part)
	defer s.reuse(events)
	s.observer(MomentWriting, len(part))
	ctx, span := s.tracer.Start(ctx, "audit.write", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("audit.batch.events", len(part)))
	}
	within, cancel := context.WithTimeoutCause(ctx, s.writeTimeout, errTooSlow)
	defer cancel()
	started := s.clock.Now()
	ack, err := s.sink.Write(within, *events)
	if ctx.Err() == nil { // else the store gives up, which is not the sink's failure
		s.mu.Lock()
		s.writeErr = err
		if errors.Is(err, ErrRefused) {
			s.writeErr = nil
		}
		s.mu.Unlock()
	}
	s.metrics.wrote(len(part), s.clock.Since(started))
	if err != nil {
		span.SetStatus(codes.Error, SinkState(err))
		if !errors.Is(err, ErrRefused) && errors.Is(context.Cause(within), errTooSlow) {
			err = &slowError{err}
		}
		return Ack{}, err
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("audit.batch.duplicates", ack.Duplicates))
	}
	return ack, nil
}

// batchOf gives the events of a part, in memory that is used again.
func (s *Store) batchOf(part []*item) *[]Event {
	events, ok := s.batches.Get().(*[]Event)
	if !ok {
		events = new([]Event)
	}
	for _, it := range part {
		*events = append(*events, *it.event)
	}
	return events
}

// reuse takes the memory back: a sink does not keep a batch after Write has returned.
func (s *Store) reuse(events *[]Event) {
	clear(*events)
	*events = (*events)[:0]
	s.batches.Put(events)
}

// slowError adds errTooSlow to the chain of a sink's error.
type slowError struct{ error }

func (e *slowError) Unwrap() []error { return []error{e.error, errTooSlow} }

// stored settles what the sink acknowledged.
func (s *Store) stored(part []*item, ack Ack) {
	s.sinkAnswered()
	s.mended(part)
	s.mu.Lock()
	if s.gaveUp {
		s.mu.Unlock()
		return // its events are reported already
	}
	s.metrics.stored.Add(float64(len(part)))
	s.metrics.duplicates.Add(float64(ack.Duplicates))
	if ack.ConsistencyToken != "" {
		s.token = ack.ConsistencyToken
	}
	s.raiseGoal(len(part))
	used := make([]*Event, 0, len(part))
	for _, it := range part {
		if it.state != itemSettled && !it.loaded {
			used = append(used, it.event)
		}
	}
	s.settle(part, settling{})
	s.mu.Unlock()
	for _, e := range used {
		s.events.release(e)
	}
	s.observer(MomentStored, len(part))
}

// raiseGoal makes batches larger when the sink keeps up with full ones and the
// next is full already: twice as large, until the sink was too slow once, and
// by an eighth from then on. Called with the lock.
func (s *Store) raiseGoal(stored int) {
	if stored < s.goal || !s.full() {
		return
	}
	more := s.goal
	if s.wasSlow {
		more = s.goal/8 + 1
	}
	s.goal = min(s.goal+more, s.batchEvents)
}

// lowerGoal makes the next batches smaller than one that took too long.
func (s *Store) lowerGoal(tooMany int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wasSlow = true
	s.goal = max(1, min(s.goal, tooMany/2))
}

// tooMany says whether a part is larger than the batches have become since it was taken.
func (s *Store) tooMany(part []*item) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wasSlow && len(part) > max(1, s.goal)
}

// refused quarantines the events of the last part of the work that a refusal
// names, and gives back what is left to do. Where the refusal does not say which
// events it means, or names some that are not there, the part is halved. An
// offender that cannot be quarantined stays owed, because it must not vanish;
// the others do not wait for it.
func (s *Store) refused(ctx context.Context, d *delivery, work [][]*item, refusal error, kicks uint64) [][]*item {
	part := work[len(work)-1]
	refusals := refusalsByIndex(part, refusal)
	if refusals == nil {
		return halve(work)
	}
	work = work[:len(work)-1]
	var offenders, rest []*item
	var rejected []Quarantined
	s.mu.Lock()
	if s.gaveUp {
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
		event := it.event.clone()
		rejected = append(rejected, Quarantined{
			Rejection: Rejection{Reference: event.reference(), Code: wire.Truncate(r.Code, maxReason), Reason: wire.Truncate(r.Reason, maxReason)}, Event: &event,
		})
	}
	s.mu.Unlock()
	err := s.quarantine(offenders, rejected, refusal)
	if err != nil {
		work = append(work, offenders)
	}
	if len(rest) > 0 {
		return append(work, rest)
	}
	if err != nil {
		s.stall(ctx, d, err, kicks)
	}
	return work
}

// stall pauses a delivery that is held up by its own events; others go on.
func (s *Store) stall(ctx context.Context, d *delivery, err error, kicks uint64) {
	s.mu.Lock()
	d.stalls++
	pause := s.backoff(d.stalls, err)
	s.stalled++
	s.slots.wake()
	s.mu.Unlock()
	nudge(s.wake)
	s.pause(ctx, pause, kicks, nil)
	s.mu.Lock()
	for s.inFlight-s.stalled >= s.config.inFlight && ctx.Err() == nil {
		slot := s.slots.join()
		s.mu.Unlock()
		select {
		case <-slot:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	s.stalled--
	s.mu.Unlock()
}

// maxBroken is how many times in a row a sink may fail a delivery with a 500
// before that counts as the fault of its events and not as that of the sink.
const maxBroken = 3

// isBroken says whether a failure is that of the delivery alone: the sink
// answers, but stumbles over this batch again and again.
func (d *delivery) isBroken(err error) bool {
	if sinkErr, ok := errors.AsType[*SinkError](err); !ok || sinkErr.Status != http.StatusInternalServerError {
		d.broken = 0
		return false
	}
	d.broken++
	return d.broken > maxBroken
}

// maxReason bounds what a sink says about an event, in bytes: it is kept as long as the event.
const maxReason = 4 << 10

// refusalsByIndex says what is wrong with which event, nil where the refusal does not.
func refusalsByIndex(part []*item, refusal error) map[int]Refusal {
	refusals := make(map[int]Refusal)
	if refused, ok := errors.AsType[*RefusedError](refusal); ok {
		for _, r := range refused.Items {
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

// quarantine keeps rejected events and settles them.
func (s *Store) quarantine(offenders []*item, rejected []Quarantined, refusal error) error {
	err := s.keepRejected(offenders, rejected, refusal)
	if err == nil {
		s.observer(MomentRejected, len(rejected))
	}
	return err
}

// keepRejected is quarantine: on disk first where there is a spool.
func (s *Store) keepRejected(offenders []*item, rejected []Quarantined, refusal error) error {
	s.quarantining.Lock()
	defer s.quarantining.Unlock()
	if s.spool != nil {
		s.mu.Lock()
		for i, it := range offenders {
			rejected[i].Position = it.position
		}
		s.mu.Unlock()
		err := s.spool.Quarantine(rejected)
		s.noteQuarantine(err)
		if err != nil {
			return fmt.Errorf("quarantine %d refused events: %w", len(rejected), err)
		}
	}
	s.mu.Lock()
	if s.gaveUp {
		s.mu.Unlock()
		return nil // its events are reported already
	}
	first := s.rejected.count() == 0
	for i, it := range offenders {
		if s.rejectedAgain(rejected[i].ID) {
			continue
		}
		contents := rejected[i].Event
		if s.spool != nil {
			contents = nil // on disk
		}
		s.rejected.add(it.seq, rejected[i].Rejection, contents)
	}
	s.settle(offenders, settling{rejected: rejected})
	s.mu.Unlock()

	s.metrics.rejected.Add(float64(len(rejected)))
	if first {
		s.logger.Warn("audit sink refused events, they are in quarantine",
			zap.Int("events", len(rejected)), zap.Error(refusal))
	}
	return nil
}

// noteQuarantine remembers whether the quarantine takes events, and logs a change.
func (s *Store) noteQuarantine(err error) {
	s.mu.Lock()
	news := (err == nil) != (s.quarantineErr == nil)
	s.quarantineErr = err
	s.mu.Unlock()
	switch {
	case !news:
	case err != nil:
		s.logger.Error("audit quarantine takes no events, refused ones stay owed", zap.Error(err))
	default:
		s.logger.Info("audit quarantine takes events again")
	}
}
