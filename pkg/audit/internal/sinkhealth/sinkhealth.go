// Package sinkhealth knows whether a sink works, and how long to back off while
// it does not. Its type does not lock: the store's mutex guards it. Times and
// durations are in nanoseconds.
package sinkhealth

import "kubernaut.ai/pkg/audit/internal/waitlist"

const second = 1_000_000_000

const (
	// Reminder is how often an outage that goes on is reported.
	Reminder = 300 * second
	// maxChanges bounds how many changes of the kind of failure are reported
	// between two reminders.
	maxChanges = 5
	// maxRetryAfter bounds what a sink can ask for, against an absurd answer.
	maxRetryAfter = 300 * second
)

// News is what a failure tells that was not known before.
type News int

const (
	// Nothing worth a log line.
	Nothing News = iota
	// Down is the first failure of an outage.
	Down
	// Changed is a failure of another kind than the one reported last.
	Changed
	// StillDown is due every few minutes of an outage.
	StillDown
)

// Options of a Health.
type Options struct {
	// FirstBackoff is the pause after the first failure, LongestBackoff the
	// longest; it doubles in between.
	FirstBackoff, LongestBackoff int64
	// Random returns the bits of the jitter.
	Random func() uint64
}

// Health is a circuit breaker: while the sink is down, one delivery at a time
// probes it and the others wait.
type Health struct {
	options Options

	// err is the newest failure of the sink; nil while it works.
	err error
	// writeErr is the newest failure of any write; it also tells of those that
	// are the fault of one delivery alone.
	writeErr error
	// since is when the outage began, reported when it was last reported as kind.
	since, reported int64
	kind            string
	// changes counts those that were reported since the last reminder.
	changes int
	// failures counts the probes since the sink worked.
	failures int
	// prober is the delivery that probes; 0 for none.
	prober uint64
	// back wakes the others when the sink works again.
	back waitlist.List
	// hurries counts the flushes, each of which is worth an attempt at once.
	hurries uint64
	// hurried wakes the deliveries that pause.
	hurried waitlist.List
}

// New returns the health of a sink that works.
func New(options Options) Health { return Health{options: options} }

// Down reports whether the sink is down.
func (h *Health) Down() bool { return h.err != nil }

// Err returns the newest failure of the sink; nil while it works.
func (h *Health) Err() error { return h.err }

// WriteErr returns the failure of the newest write; nil if it succeeded.
func (h *Health) WriteErr() error { return h.writeErr }

// Wrote notes how a write ended.
func (h *Health) Wrote(err error) { h.writeErr = err }

// Failed notes a failure of the sink and its kind. It returns what is new, and
// how long the outage has lasted.
func (h *Health) Failed(err error, kind string, now int64) (news News, lasted int64) {
	switch {
	case h.err == nil:
		news = Down
		h.since, h.reported, h.changes = now, now, 0
	case now-h.reported >= Reminder:
		news = StillDown
		h.reported, h.changes = now, 0
	case kind != h.kind && h.changes < maxChanges:
		news = Changed
		h.changes++
	}
	h.err = err
	if news != Nothing {
		h.kind = kind
	}
	return news, now - h.since
}

// Answered notes that the sink works, and lets those go on who wait for that. It
// reports whether it was down, and for how long.
func (h *Health) Answered(now int64) (wasDown bool, lasted int64) {
	if h.err == nil {
		return false, 0
	}
	h.err = nil
	h.failures = 0
	h.prober = 0
	h.back.Wake()
	return true, now - h.since
}

// Turn says what a delivery does after a failure.
type Turn int

const (
	// TryNow means that the sink works again.
	TryNow Turn = iota
	// AwaitProber means that another delivery probes: ask again when the channel is closed.
	AwaitProber
	// Probe means to try after the pause, or as soon as the channel is closed.
	Probe
)

// NextTurn decides for a delivery, by its id, which is not 0. retryAfter is what
// the sink asked for with its failure, 0 for nothing.
func (h *Health) NextTurn(delivery uint64, retryAfter int64) (turn Turn, pause int64, back <-chan struct{}) {
	switch {
	case h.err == nil:
		return TryNow, 0, nil
	case h.prober != 0 && h.prober != delivery:
		return AwaitProber, 0, h.back.Join()
	}
	h.prober = delivery
	h.failures++
	return Probe, h.Backoff(h.failures, retryAfter), h.back.Join()
}

// Hurry makes an attempt at once of what backs off.
func (h *Health) Hurry() {
	h.hurries++
	h.hurried.Wake()
}

// Hurries returns how often Hurry was called. A delivery asks before its
// attempt, because a flush that begins later is worth another attempt: the sink
// may have recovered in between.
func (h *Health) Hurries() uint64 { return h.hurries }

// Hurried returns a channel that the next Hurry closes; nil if there was one
// since hurries were counted.
func (h *Health) Hurried(hurries uint64) <-chan struct{} {
	if h.hurries != hurries {
		return nil
	}
	return h.hurried.Join()
}

// Backoff doubles the pause with each failure and shortens it by up to a half at
// random, so that many stores do not come back together. A sink that says when
// to come back is not asked earlier, unless a flush begins.
func (h *Health) Backoff(failures int, retryAfter int64) int64 {
	return h.BackoffUpTo(h.options.LongestBackoff, failures, retryAfter)
}

// BackoffUpTo is Backoff with another longest pause.
func (h *Health) BackoffUpTo(longest int64, failures int, retryAfter int64) int64 {
	pause := h.options.FirstBackoff
	for i := 1; i < failures && pause < longest; i++ {
		pause *= 2
	}
	pause = min(pause, longest)
	jitter := int64(h.options.Random() % uint64(max(pause/2, 1))) //nolint:gosec // positive, and less than a pause
	if retryAfter > 0 {
		return min(retryAfter, maxRetryAfter) + jitter
	}
	return pause - jitter
}
