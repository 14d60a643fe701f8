package audit

// phase is how far a store has come on its way to the end. It only advances.
type phase int

const (
	// accepting: Record accepts events.
	accepting phase = iota
	// closing: Close was called and Record returns ErrClosed. The spooler
	// finishes what Record calls handed to it before.
	closing
	// drained: nothing more will be accepted.
	drained
	// delivered: the dispatcher and all deliveries have returned, or Close stopped
	// waiting for them. No event becomes terminal from here on, except by being lost.
	delivered
	// declared: what is pending and not on disk was declared lost.
	declared
	// ended: the spool is closed, or Close stopped waiting for that.
	ended
)

// phases is how many there are.
const phases = int(ended) + 1

// lifecycle is a store's phase and who waits for the next. The store's mutex guards it.
type lifecycle struct {
	phase phase
	// reached has a channel for each phase, which is closed when it begins.
	reached [phases]chan struct{}
	// closers counts the Close calls that still wait for events.
	closers int
	// err is what went wrong when the spool was closed.
	err error
}

func newLifecycle() lifecycle {
	var l lifecycle
	for p := range l.reached {
		l.reached[p] = make(chan struct{})
	}
	return l
}

// advance begins a phase, and those before it. It reports whether that is news.
func (l *lifecycle) advance(to phase) bool {
	if to <= l.phase {
		return false
	}
	for p := l.phase + 1; p <= to; p++ {
		close(l.reached[p])
	}
	l.phase = to
	return true
}

// advance begins a phase and reports whether that is news.
func (s *Store) advance(to phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.advance(to)
}
