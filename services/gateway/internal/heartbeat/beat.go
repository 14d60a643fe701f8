package heartbeat

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// maxRounds bounds how often a write starts over because another replica came first.
const maxRounds = 8

// Beat is an expected heartbeat. It is safe for concurrent use.
type Beat struct {
	Expectation

	monitor *Monitor
	lease   string
	// turn is held by whoever works with the record: a loss is reported and ended
	// one after the other.
	turn *semaphore.Weighted

	mu      sync.Mutex
	since   time.Time // guarded by mu: from when its absence counts: it was seen, or began to be expected
	seen    time.Time // guarded by mu: when this replica saw it
	written time.Time // guarded by mu: what this replica wrote to the record
	lost    bool      // guarded by mu: according to the record, when it was read
	// unconfirmed is a loss that this replica reported when the record had changed;
	// held with turn.
	unconfirmed *Loss
}

// Namespace is the one that the heartbeat is about; empty if it is about the whole cluster.
func (b *Beat) Namespace() string { return b.Labels["namespace"] }

// Seen notes that the heartbeat has arrived, and reports the end of a loss. If it
// returns no error, all replicas know.
func (b *Beat) Seen(ctx context.Context) error {
	now := b.monitor.Clock.Now()
	b.monitor.metrics.seen.WithLabelValues(b.String()).Set(float64(now.UnixMilli()) / float64(time.Second/time.Millisecond))
	if b.note(now) {
		return nil
	}
	if err := b.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("note heartbeat %s: %w", b, err)
	}
	defer b.turn.Release(1)
	if b.note(now) { // somebody else wrote meanwhile
		return nil
	}
	if err := b.renew(ctx, now); err != nil {
		return fmt.Errorf("note heartbeat %s: %w", b, err)
	}
	return nil
}

// note remembers that the heartbeat was seen. It returns true if the record is new
// enough as it is.
func (b *Beat) note(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.seen) {
		b.since, b.seen = now, now
	}
	return !b.lost && !b.written.IsZero() && now.Sub(b.written) < b.Within/writesInPeriod
}

// renew writes that the heartbeat was seen, after the end of a loss was reported.
func (b *Beat) renew(ctx context.Context, now time.Time) error {
	for range maxRounds {
		r, err := b.monitor.records.read(ctx, b)
		if err != nil {
			return err
		}
		if !r.lostSince().IsZero() {
			if err := b.restore(ctx, b.loss(r)); err != nil {
				return err
			}
		}
		r.setSeen(now)
		written, err := b.monitor.records.write(ctx, r)
		if err != nil {
			return err
		}
		if written {
			b.wrote(r)
			return nil
		}
	}
	return errContended
}

func (b *Beat) wrote(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written, b.lost = r.seen(), false
}

// restore reports the end of a loss.
func (b *Beat) restore(ctx context.Context, loss *Loss) error {
	m := b.monitor
	request, err := m.Path(ctx, loss.ID(), loss.observation(m.Clock.Now(), true))
	if err == nil {
		err = m.Trail.Restored(ctx, request, loss)
	}
	if err != nil {
		return fmt.Errorf("report the end of the loss: %w", err)
	}
	b.unconfirmed = nil
	m.Log.Info("a heartbeat is back", zap.String("heartbeat", loss.Heartbeat), zap.Time("lost_since", loss.Since))
	return nil
}

// check looks whether the heartbeat is lost, and reports it. It returns when to
// check again.
func (b *Beat) check(ctx context.Context) (time.Duration, error) {
	if wait := b.remaining(); wait > 0 {
		return wait, nil
	}
	if err := b.turn.Acquire(ctx, 1); err != nil {
		return retryAfter, fmt.Errorf("wait for its turn: %w", err)
	}
	defer b.turn.Release(1)
	if wait := b.remaining(); wait > 0 { // it was seen meanwhile
		return wait, nil
	}
	r, err := b.monitor.records.read(ctx, b)
	if err != nil {
		return b.unknown(), err
	}
	if !r.lostSince().IsZero() {
		return b.report(ctx, r)
	}
	if b.unconfirmed != nil {
		if err := b.restore(ctx, b.unconfirmed); err != nil {
			return retryAfter, err
		}
	}
	if wait := b.seenElsewhere(r); wait > 0 {
		return wait, nil
	}
	b.declare(r)
	switch written, err := b.monitor.records.write(ctx, r); {
	case err != nil:
		return b.unknown(), err
	case !written:
		return minPoll, nil
	}
	b.monitor.Log.Warn("a heartbeat is lost", zap.String("heartbeat", b.String()), zap.Time("last_seen", r.seen()), zap.Duration("within", b.Within))
	return b.report(ctx, r)
}

// remaining is how long the heartbeat may still stay away; 0 while it is lost.
func (b *Beat) remaining() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return 0
	}
	return b.Within - b.monitor.Clock.Since(b.since)
}

// unknown is for when the record cannot be read or written. Other replicas cannot
// write that they have seen the heartbeat either: its absence counts from now.
func (b *Beat) unknown() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return retryAfter
	}
	b.since = b.monitor.Clock.Now()
	return b.Within
}

// seenElsewhere is how long the heartbeat may still stay away according to a record
// that has no loss.
func (b *Beat) seenElsewhere(r record) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = false
	last := r.seen()
	if !last.IsZero() && !last.Equal(b.written) {
		// Another replica may have seen it again without writing.
		last = last.Add(b.Within / writesInPeriod)
	}
	if last.After(b.since) {
		b.since = last
	}
	return b.Within - b.monitor.Clock.Since(b.since)
}

// declare changes a record to that of a lost heartbeat. One that was never seen
// counts as seen when it began to be expected.
func (b *Beat) declare(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.seen
	if last.IsZero() && !r.exists() {
		last = b.since
	}
	r.setSeen(last)
	r.setTime(lostAnnotation, r.seen().Add(b.Within))
}

func (b *Beat) isLost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// report reports a loss, unless a replica has done so lately.
func (b *Beat) report(ctx context.Context, r record) (time.Duration, error) {
	m := b.monitor
	b.mu.Lock()
	b.lost = true
	b.mu.Unlock()
	poll := min(max(b.Within/2, minPoll), maxPoll)
	if reported := r.reported(); !reported.IsZero() && m.Clock.Since(reported) < repeatEvery {
		return poll, nil
	}
	loss := b.loss(r)
	request, err := m.Path(ctx, loss.ID(), loss.observation(m.Clock.Now(), false))
	if err == nil {
		err = m.Trail.Lost(ctx, request, loss)
	}
	if err != nil {
		return retryAfter, fmt.Errorf("report the loss: %w", err)
	}
	r.setTime(reportedAnnotation, m.Clock.Now())
	written, err := m.records.write(ctx, r)
	if err == nil && written {
		b.unconfirmed = nil
		return poll, nil
	}
	// The heartbeat may be back: then whoever noted it may have come before this report.
	b.unconfirmed = loss
	return retryAfter, err
}
