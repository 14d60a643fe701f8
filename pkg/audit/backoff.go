package audit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kubernaut.ai/pkg/audit/internal/sinkhealth"
)

// sinkFailed notes a failure of the sink, and logs it if it tells anything new.
func (s *Store) sinkFailed(err error, events int) {
	s.metrics.retries.Inc()
	kind := SinkState(err)
	s.mu.Lock()
	news, lasted := s.health.Failed(err, kind, s.since(s.clock.Now()))
	pending := s.pending()
	s.mu.Unlock()
	fields := []slog.Attr{slog.String("kind", kind), slog.Int("pending_events", pending), errorAttr(err)}
	switch news {
	case sinkhealth.Nothing:
	case sinkhealth.Down:
		s.log(slog.LevelWarn, "audit sink down, events stay pending", fields...)
	case sinkhealth.Changed:
		s.log(slog.LevelWarn, "audit sink fails in another way", append(fields, slog.Duration("down_for", time.Duration(lasted)))...)
	case sinkhealth.StillDown:
		s.log(slog.LevelWarn, "audit sink still down", append(fields, slog.Duration("down_for", time.Duration(lasted)))...)
	}
	s.hook(HookFailed, events)
}

// sinkAnswered notes that the sink works, and logs it if it did not before.
func (s *Store) sinkAnswered() {
	s.mu.Lock()
	wasDown, lasted := s.health.Answered(s.since(s.clock.Now()))
	pending := s.pending()
	s.mu.Unlock()
	if wasDown {
		s.log(slog.LevelInfo, "audit sink back", slog.Int("pending_events", pending), slog.Duration("down_for", time.Duration(lasted)))
		nudge(s.wake)
	}
}

// awaitSink waits before the next attempt of a delivery that failed. hurries are
// the flushes that had begun when the attempt was made.
func (s *Store) awaitSink(ctx context.Context, d *delivery, err error, hurries uint64) {
	for {
		s.mu.Lock()
		turn, pause, back := s.health.NextTurn(d.id, askedPause(err))
		s.mu.Unlock()
		switch turn {
		case sinkhealth.TryNow:
			return
		case sinkhealth.Probe:
			s.pause(ctx, pause, hurries, back)
			return
		case sinkhealth.AwaitProber:
		}
		select {
		case <-back:
		case <-ctx.Done():
			return
		}
	}
}

// pause backs off before the next attempt. A flush that began after hurries were
// counted ends it, so that a flush depends on no timer, and so does the channel,
// where there is one.
func (s *Store) pause(ctx context.Context, pause int64, hurries uint64, changed <-chan struct{}) {
	s.mu.Lock()
	hurried := s.health.Hurried(hurries)
	s.mu.Unlock()
	if hurried == nil {
		return
	}
	timer := s.clock.NewTimer(time.Duration(pause))
	defer timer.Stop()
	s.hook(HookBackingOff, 0)
	select {
	case <-timer.C():
	case <-hurried:
	case <-changed:
	case <-ctx.Done():
	}
}

// askedPause is how long the sink asked to be left alone, in nanoseconds.
func askedPause(err error) int64 {
	var sinkErr *SinkError
	if errors.As(err, &sinkErr) {
		return int64(sinkErr.RetryAfter)
	}
	return 0
}
