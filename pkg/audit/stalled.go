package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"kubernaut.ai/pkg/audit/internal/failures"
	"kubernaut.ai/pkg/audit/internal/queue"
	"kubernaut.ai/pkg/audit/internal/window"
	"kubernaut.ai/pkg/audit/wire"
)

// Codes of stalled events.
const (
	// StalledForbidden: the sink says that its caller may not store the event.
	StalledForbidden = "forbidden"
	// StalledTooLarge: something on the way to the sink refuses the event by its
	// size, and does not name it.
	StalledTooLarge = "too_large"
)

// longestStall is the longest pause between two rounds of attempts with stalled
// events: what they wait for takes a person.
const longestStall = 30 * time.Second

var stalledCodes = []string{StalledForbidden, StalledTooLarge}

// StalledEvent names a pending event that the sink does not take for now, while
// it takes others, and says why.
type StalledEvent struct {
	Reference

	// Code is StalledForbidden or StalledTooLarge.
	Code string `json:"code"`
	// Reason is the sink's, for people. It may quote the event.
	Reason string `json:"reason"`
}

// stalled knows why events were set aside, and when they are tried again. The
// store's mutex guards it; the queue has the events.
type stalled struct {
	// why is by sequence number, count by code, bytes the size of the events.
	why   map[uint64]stall
	count map[string]int
	bytes int
	// trying says that a round of attempts is under way, rounds counts those that
	// changed nothing, hurries the flushes as of the last.
	trying  bool
	rounds  int
	hurries uint64
	// due says that the pause before the next round is over, again fires when it is.
	due   bool
	again <-chan time.Time
	// moveAfter is when events may be moved on disk again, after a failure.
	moveAfter int64
	log       failures.Log
}

// stall is why an event is set aside. Events of the same kind are expected to pass together.
type stall struct{ code, kind, reason string }

// forget drops what is known of an event. Called with the lock.
func (s *stalled) forget(seq uint64, size int) {
	if why, ok := s.why[seq]; ok {
		delete(s.why, seq)
		s.count[why.code]--
		s.bytes -= size
	}
}

// kindOf is the first part of an event's type where permissions decide.
func kindOf(code, eventType string) string {
	if code == StalledForbidden {
		first, _, _ := strings.Cut(eventType, ".")
		return code + " " + first
	}
	return code
}

// mayStall reports whether an event may be set aside: half of the memory is for
// others, and a large one of those must fit. Called with the lock.
func (s *Store) mayStall(it *item) bool {
	return it.Aside || len(s.stalled.why) < s.maxEvents/2 && s.stalled.bytes+it.Size <= min(s.maxBytes/2, s.maxBytes-MaxFootprint)
}

// setAside takes events out of the order until the sink takes them; others of
// their correlation ids need not wait for them. It returns those for which there
// is no room. hurries are the flushes that had begun before the attempt.
func (s *Store) setAside(part []*item, code string, reasons []string, hurries uint64) (left []*item) {
	var news []StalledEvent
	s.mu.Lock()
	if s.life.phase >= delivered {
		s.mu.Unlock()
		return nil // its events are reported already
	}
	st := &s.stalled
	for i, it := range part {
		if !s.mayStall(it) {
			left = append(left, it)
			continue
		}
		if len(st.why) == 0 {
			st.why, st.count, st.hurries = make(map[uint64]stall), make(map[string]int), hurries
		}
		why := stall{code: code, kind: kindOf(code, it.Event.Type), reason: wire.Truncate(reasons[i], maxReason)}
		if !it.Aside {
			news = append(news, StalledEvent{Reference: it.Event.reference(), Code: code, Reason: why.reason})
			it = s.queue.SetAside(it)
			st.bytes += it.Size
		} else {
			st.count[st.why[it.Seq].code]--
		}
		st.why[it.Seq] = why
		st.count[code]++
	}
	if len(news) > 0 && !st.trying {
		st.rounds = 0
		s.scheduleStalled()
	}
	named, counted := st.log.Take(len(news), s.since(s.clock.Now()))
	s.mu.Unlock()
	for _, e := range news[:named] {
		s.log(slog.LevelWarn, "audit event is stalled: the sink does not take it, others are sent", rejectionAttrs(Rejection(e))...)
	}
	if counted > 0 {
		s.log(slog.LevelWarn, "audit events are stalled: the sink does not take them, others are sent", slog.Int("events", counted))
	}
	if len(news) > 0 {
		s.hook(HookStalled, len(news))
		nudge(s.wake)
		nudge(s.spoolWake)
	}
	return left
}

// scheduleStalled lets the next round begin after a pause. Called with the lock.
func (s *Store) scheduleStalled() {
	st := &s.stalled
	st.due = false
	longest := max(int64(longestStall), int64(s.longestBackoff))
	st.again = s.clock.After(time.Duration(s.health.BackoffUpTo(longest, st.rounds+1, 0)))
}

// takeStalled begins a round of attempts with stalled events if it is time, or a
// flush waits. Called with the lock.
func (s *Store) takeStalled() *window.Batch[Event] {
	st := &s.stalled
	if len(s.queue.Aside()) == 0 || st.trying || !st.due && st.hurries == s.health.Hurries() || !s.window.HasRoom(s.health.Down()) {
		return nil
	}
	st.trying, st.due, st.again, st.hurries = true, false, nil, s.health.Hurries()
	return s.window.Enter()
}

// retryStalled tries one event of each kind of stalled events, alone. Where it
// passes, the others of its kind follow.
func (s *Store) retryStalled(ctx context.Context, d *delivery) {
	failed := make(map[string]bool)
	passed := 0
	for ctx.Err() == nil {
		probes := s.stalledProbes(failed)
		if len(probes) == 0 {
			break
		}
		var rest [][]*item
		work := make([][]*item, 0, len(probes))
		for _, it := range probes {
			work = append(work, []*item{it})
		}
		s.deliver(ctx, d, work)
		s.mu.Lock()
		for kind, it := range probes {
			switch {
			case it.State != queue.Terminal:
				failed[kind] = true
			case strings.HasPrefix(kind, StalledForbidden):
				passed++
				failed[kind] = true // the others are tried once
				rest = append(rest, s.stalledOf(kind)...)
			default:
				passed++
			}
		}
		s.mu.Unlock()
		slices.Reverse(rest) // the last is next
		s.deliver(ctx, d, rest)
	}
	s.mu.Lock()
	st := &s.stalled
	st.trying = false
	st.rounds++
	if passed > 0 {
		st.rounds = 0
	}
	left := len(s.queue.Aside())
	if left > 0 {
		s.scheduleStalled()
	}
	ended := s.life.phase >= delivered
	s.mu.Unlock()
	if left == 0 && !ended {
		s.log(slog.LevelInfo, "audit events are no longer stalled")
	}
	nudge(s.wake)
}

// stalledProbes picks an event of each kind that has not failed: the smallest of
// those that are too large, else the oldest.
func (s *Store) stalledProbes(failed map[string]bool) map[string]*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	probes := make(map[string]*item)
	for _, it := range s.queue.Aside() {
		why := s.stalled.why[it.Seq]
		if failed[why.kind] {
			continue
		}
		if probe := probes[why.kind]; probe == nil || why.code == StalledTooLarge && it.Size < probe.Size {
			probes[why.kind] = it
		}
	}
	return probes
}

// stalledOf returns the events of a kind, as batches. Called with the lock.
func (s *Store) stalledOf(kind string) (batches [][]*item) {
	var batch []*item
	bytes := 0
	for _, it := range s.queue.Aside() {
		if s.stalled.why[it.Seq].kind != kind {
			continue
		}
		if len(batch) > 0 && (len(batch) == s.window.Target() || bytes+it.Size > s.batchBytes) {
			batches, batch, bytes = append(batches, batch), nil, 0
		}
		batch = append(batch, it)
		bytes += it.Size
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

// tooLarge halves a batch that was too large for the way to the sink, and
// remembers it. An event that is too large by itself is set aside.
func (s *Store) tooLarge(ctx context.Context, d *delivery, work [][]*item, err error, hurries uint64) [][]*item {
	s.metrics.retries.Inc()
	part := work[len(work)-1]
	if len(part) > 1 {
		s.mu.Lock()
		first, limit := s.window.Exceeded(footprint(part), s.since(s.clock.Now()))
		s.mu.Unlock()
		if first {
			s.log(slog.LevelWarn, "audit batches are too large for a proxy on the way to the sink, smaller ones are sent: raise its limit of request bodies",
				slog.Int("limit_bytes", limit), errorAttr(err))
		}
		return halve(work)
	}
	return s.aside(ctx, d, work, part, nil, StalledTooLarge, []string{err.Error()}, err, hurries)
}

// forbidden sets aside the events of the last part of the work that the sink
// says its caller may not store. If it names none that is there, it forbids
// everything, and is down for this store.
func (s *Store) forbidden(ctx context.Context, d *delivery, work [][]*item, err error, hurries uint64) [][]*item {
	part := work[len(work)-1]
	reasons := forbiddenByIndex(part, err)
	if reasons == nil {
		s.sinkFailed(err, len(part))
		s.awaitSink(ctx, d, err, hurries)
		return work
	}
	s.sinkAnswered()
	s.metrics.retries.Inc()
	var offenders, rest []*item
	var texts []string
	for i, it := range part {
		if reason, offends := reasons[i]; offends {
			offenders, texts = append(offenders, it), append(texts, reason)
		} else {
			rest = append(rest, it)
		}
	}
	return s.aside(ctx, d, work, offenders, rest, StalledForbidden, texts, err, hurries)
}

// forbiddenByIndex says why which events are forbidden; nil if the error does not.
func forbiddenByIndex(part []*item, err error) map[int]string {
	var named *ForbiddenError
	if !errors.As(err, &named) || len(named.Items) == 0 {
		return nil
	}
	reasons := make(map[int]string, len(named.Items))
	for _, r := range named.Items {
		if r.Index < 0 || r.Index >= len(part) {
			return nil
		}
		reasons[r.Index] = r.Reason
	}
	return reasons
}

// aside sets the offenders of the last part of the work aside and goes on with
// the rest. Those for which there is no room hold up the delivery alone.
func (s *Store) aside(ctx context.Context, d *delivery, work [][]*item, offenders, rest []*item, code string, reasons []string, err error, hurries uint64) [][]*item {
	work = work[:len(work)-1]
	left := s.setAside(offenders, code, reasons, hurries)
	if len(left) > 0 {
		work = append(work, left)
	}
	if len(rest) > 0 {
		return append(work, rest)
	}
	if len(left) > 0 {
		work = stepBack(work)
		s.stall(ctx, d, err, hurries)
	}
	return work
}

// footprint is the size of a part in bytes.
func footprint(part []*item) int {
	bytes := 0
	for _, it := range part {
		bytes += it.Size
	}
	return bytes
}

// reportStalled names the stalled events that a flush covers. Called with the lock.
func (s *Store) reportStalled(e *FlushError, it *item) {
	why, ok := s.stalled.why[it.Seq]
	switch {
	case !ok:
	case len(e.Stalled) == failures.MaxNamed:
		e.StalledUnnamed++
	default:
		e.Stalled = append(e.Stalled, StalledEvent{Reference: it.Event.reference(), Code: why.code, Reason: why.reason})
	}
}
