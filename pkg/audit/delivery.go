package audit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"kubernaut.ai/pkg/audit/internal/queue"
	"kubernaut.ai/pkg/audit/internal/window"
)

// delivery sends a batch. Owned by its goroutine.
type delivery struct {
	id    uint64
	batch *window.Batch[Event]
	// stalls counts the times that it backed off because of its own events.
	stalls int
	// broken counts consecutive 500 responses to this delivery, cut consecutive
	// connections that were closed while it was sent.
	broken, cut int
}

// run sends what a delivery has: a batch, or stalled events.
func (s *Store) run(ctx context.Context, d *delivery) {
	if d.batch.Items == nil {
		s.retryStalled(ctx, d)
		return
	}
	s.deliver(ctx, d, [][]*item{d.batch.Items})
}

// deliver writes batches, the last one first, until each of their events is
// terminal or set aside, or ctx ends. A rejected batch is written again without the events that the sink named, or in
// halves, first half first, until the offender stands alone. A batch that takes
// too long is halved as well, because it may be too large for a slow sink; and
// so is one that the sink answers with a 500 again and again, or that is too large
// for something on the way to the sink.
func (s *Store) deliver(ctx context.Context, d *delivery, work [][]*item) {
	for len(work) > 0 && ctx.Err() == nil {
		part := work[len(work)-1]
		tooLarge, hurries := s.beforeAttempt(part)
		if tooLarge {
			work = halve(work)
			continue
		}
		ack, err := s.write(ctx, part)
		switch {
		case err == nil:
			d.broken, d.cut = 0, 0
			s.stored(part, ack)
			work = work[:len(work)-1]
		case errors.Is(err, ErrRefused):
			d.broken = 0
			s.sinkAnswered()
			work = s.refused(ctx, d, work, err, hurries)
		case errors.Is(err, ErrTooLarge):
			d.broken = 0
			s.sinkAnswered()
			work = s.tooLarge(ctx, d, work, err, hurries)
		case errors.Is(err, ErrForbidden):
			d.broken = 0
			work = s.forbidden(ctx, d, work, err, hurries)
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
			s.stall(ctx, d, err, hurries)
		default:
			s.sinkFailed(err, len(part))
			if (errors.Is(err, errTooSlow) || d.isCut(err)) && len(part) > 1 {
				s.mu.Lock()
				s.window.TooSlow(len(part))
				s.mu.Unlock()
			}
			s.awaitSink(ctx, d, err, hurries)
		}
	}
}

// beforeAttempt reports whether a part is larger than batches have become since
// it was taken, and returns the flushes that have begun.
func (s *Store) beforeAttempt(part []*item) (tooLarge bool, hurries uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(part) > 1 && (s.window.TooLarge(len(part)) || s.window.Limit() > 0 && footprint(part) > s.window.Limit()), s.health.Hurries()
}

// halve splits the part that is next, the first half first.
func halve(work [][]*item) [][]*item {
	part := work[len(work)-1]
	return append(work[:len(work)-1], part[len(part)/2:], part[:len(part)/2])
}

// stepBack lets a part that is held up wait until what is behind it is written,
// except for events of the same correlation ids, which must not overtake it.
func stepBack(work [][]*item) [][]*item {
	part := work[len(work)-1]
	held := make(map[string]bool)
	for _, it := range part {
		held[it.CorrelationID] = true
	}
	var same, others []*item
	for i := len(work) - 2; i >= 0; i-- {
		for _, it := range work[i] {
			if held[it.CorrelationID] {
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
	s.hook(HookWriting, len(part))
	ctx, span := s.tracer.Start(ctx, "audit.write", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("audit.batch.events", len(part)))
	}
	within, cancel := context.WithTimeoutCause(ctx, s.writeTimeout, errTooSlow)
	defer cancel()
	started := s.clock.Now()
	ack, err := s.sink.Write(within, *events)
	refused := errors.Is(err, ErrRefused) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrForbidden)
	if err != nil && !refused && errors.Is(context.Cause(within), errTooSlow) {
		err = &slowError{err}
	}
	if ctx.Err() == nil { // else the store gives up, which is not the sink's failure
		s.mu.Lock()
		if refused {
			s.health.Wrote(nil)
		} else {
			s.health.Wrote(err)
		}
		s.mu.Unlock()
	}
	s.metrics.wrote(len(part), s.clock.Since(started))
	if err != nil {
		span.SetStatus(codes.Error, SinkState(err))
		return Ack{}, err
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("audit.batch.duplicates", ack.Duplicates))
	}
	return ack, nil
}

// batchOf returns the events of a part, in memory that is used again.
func (s *Store) batchOf(part []*item) *[]Event {
	events, ok := s.batches.Get().(*[]Event)
	if !ok {
		events = new([]Event)
	}
	for _, it := range part {
		*events = append(*events, *it.Event)
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

// stored makes terminal what the sink acknowledged.
func (s *Store) stored(part []*item, ack Ack) {
	s.sinkAnswered()
	s.retried(part)
	s.mu.Lock()
	if s.life.phase >= delivered {
		s.mu.Unlock()
		return // its events are reported already
	}
	s.metrics.stored.Add(float64(len(part)))
	s.metrics.duplicates.Add(float64(ack.Duplicates))
	if ack.ConsistencyToken != "" {
		s.token = ack.ConsistencyToken
	}
	s.window.Stored(len(part))
	used := make([]*Event, 0, len(part))
	for _, it := range part {
		if it.State != queue.Terminal && !it.Loaded {
			used = append(used, it.Event)
		}
	}
	s.finish(part, outcome{})
	s.mu.Unlock()
	for _, e := range used {
		s.events.release(e)
	}
	s.hook(HookStored, len(part))
}

// stall pauses a delivery that is held up by its own events; others go on.
func (s *Store) stall(ctx context.Context, d *delivery, err error, hurries uint64) {
	d.stalls++
	s.mu.Lock()
	pause := s.health.Backoff(d.stalls, askedPause(err))
	s.window.Stall()
	s.mu.Unlock()
	nudge(s.wake)
	s.pause(ctx, pause, hurries, nil)
	for {
		s.mu.Lock()
		slot := s.window.Resume()
		s.mu.Unlock()
		if slot == nil {
			return
		}
		select {
		case <-slot:
		case <-ctx.Done():
			s.mu.Lock()
			s.window.Unstall()
			s.mu.Unlock()
			return
		}
	}
}

// maxCut is how many consecutive times the connection may be closed while a
// delivery is sent; with more of them, its batches are halved: a proxy may close
// the connection instead of saying that a batch is too large.
const maxCut = 3

// isCut reports whether the connection was closed again and again.
func (d *delivery) isCut(err error) bool {
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		d.cut = 0
		return false
	}
	d.cut++
	return d.cut > maxCut
}

// maxBroken is how many consecutive 500 responses to a delivery count as the
// sink's fault; with more of them, it is the fault of the delivery's events.
const maxBroken = 3

// isBroken reports whether a failure is that of the delivery alone: the sink
// answers, but fails with this batch again and again.
func (d *delivery) isBroken(err error) bool {
	var sinkErr *SinkError
	if !errors.As(err, &sinkErr) || sinkErr.Status != http.StatusInternalServerError {
		d.broken = 0
		return false
	}
	d.broken++
	return d.broken > maxBroken
}
