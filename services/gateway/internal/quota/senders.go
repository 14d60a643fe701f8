package quota

import (
	"time"
)

const (
	// rememberSender is how long a sender that has authenticated counts as known.
	rememberSender = 24 * time.Hour
	// maxSenders bounds the senders that are remembered. Two suffice to apply the
	// bound on each, so it does not matter which.
	maxSenders = 1000
)

// senders remembers who has sent signals.
type senders struct {
	seen map[string]time.Time
}

func (s *senders) add(sender string, at, now time.Time) {
	if sender == "" || now.Sub(at) >= rememberSender {
		return
	}
	before, ok := s.seen[sender]
	if !ok && len(s.seen) >= maxSenders {
		s.forget(now)
		if len(s.seen) >= maxSenders {
			return
		}
	}
	if at.After(before) {
		s.seen[sender] = at
	}
}

func (s *senders) forget(now time.Time) {
	for sender, at := range s.seen {
		if now.Sub(at) >= rememberSender {
			delete(s.seen, sender)
		}
	}
}

// Seen notes that a sender has authenticated.
func (q *Quota) Seen(sender string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.options.Clock.Now()
	q.senders.add(sender, now, now)
}

// severalSenders reports whether more than one sender is known: listed in the
// configuration, or seen lately. With only one, a bound for each sender would
// keep places free for nobody. The caller holds mu.
func (q *Quota) severalSenders() bool {
	known := map[string]struct{}{}
	if q.options.Configured != nil {
		for _, sender := range q.options.Configured() {
			known[sender] = struct{}{}
		}
	}
	now := q.options.Clock.Now()
	for sender, at := range q.senders.seen {
		if len(known) > 1 {
			break
		}
		if now.Sub(at) < rememberSender {
			known[sender] = struct{}{}
		}
	}
	return len(known) > 1
}
