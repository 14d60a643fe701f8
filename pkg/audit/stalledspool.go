package audit

// mover is implemented by a spool that appends events although its bound is
// reached, if the append releases more than it takes: positions up to terminal
// are terminal from then on.
type mover interface {
	Move(events []Event, terminal uint64) (first uint64, err error)
}

// maxHeldBytes is how much of the spool stalled events may hold back.
const maxHeldBytes = 64 << 20

// moveStalled appends the stalled events to the spool once more, where they hold
// back too many stored events: a spool releases its oldest first. It reports
// whether it did. Only the spooler calls it.
func (s *Store) moveStalled() bool {
	s.mu.Lock()
	// While older events are only on disk, what is appended would be taken for one of them.
	if len(s.queue.Aside()) == 0 || s.backlog.Events > 0 || s.since(s.clock.Now()) < s.stalled.moveAfter {
		s.mu.Unlock()
		return false
	}
	state := s.spool.State()
	if held := int64(state.EventBytes - s.queue.Bytes()); held <= min(state.MaxBytes/4, maxHeldBytes) {
		s.mu.Unlock()
		return false
	}
	var items []*item
	var events []Event
	for _, it := range s.queue.Aside() {
		if it.Position > 0 {
			items, events = append(items, it), append(events, it.Event.clone())
		}
	}
	terminal := s.queue.LowWithoutAside()
	s.mu.Unlock()
	if len(items) == 0 {
		return false
	}

	first, err := s.moveTo(events, terminal)
	s.mu.Lock()
	if err != nil {
		s.stalled.moveAfter = s.since(s.clock.Now()) + int64(s.longestBackoff)
	}
	for i, it := range items {
		if err == nil && it.Event != nil { // else it was stored meanwhile
			s.queue.Move(it, first+uint64(i))
		}
	}
	low := s.queue.LowPosition()
	s.mu.Unlock()
	if err != nil {
		s.noteSpool(err)
		return false
	}
	s.release(low)
	return true
}

func (s *Store) moveTo(events []Event, terminal uint64) (uint64, error) {
	if m, ok := s.spool.(mover); ok {
		return m.Move(events, terminal) //nolint:wrapcheck // names the spool
	}
	return s.spool.Append(events, terminal) //nolint:wrapcheck // names the spool
}
