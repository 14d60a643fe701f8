package audit

import (
	"context"
	"fmt"
)

// waiter is a Record call that waits until its event is stored.
type waiter struct {
	// producer identifies the event: its id would not do, because another event
	// may wrongly have the same.
	producer Producer
	name     Reference
	// position is that of an event that is on disk only, until it is read back.
	position uint64
	// done is closed when the event is terminal; rejection and lost say why it
	// will not be stored.
	done      chan struct{}
	rejection *Rejection
	lost      bool
}

// waiters are found by their event's producer fields. The store's mutex guards them.
type waiters struct{ byProducer map[Producer]*waiter }

// add registers a Record call that waits for an event.
func (ws *waiters) add(event *Event) *waiter {
	if ws.byProducer == nil {
		ws.byProducer = make(map[Producer]*waiter)
	}
	w := &waiter{producer: event.Producer, name: event.reference(), done: make(chan struct{})}
	ws.byProducer[w.producer] = w
	return w
}

// any reports whether a Record call waits.
func (ws *waiters) any() bool { return len(ws.byProducer) > 0 }

// answer ends the wait for an event, if a Record call waits for it.
func (ws *waiters) answer(producer Producer, rejection *Rejection, lost bool) {
	w, ok := ws.byProducer[producer]
	if !ok {
		return
	}
	w.rejection, w.lost = rejection, lost
	delete(ws.byProducer, producer)
	close(w.done)
}

// drop forgets a Record call that gave up.
func (ws *waiters) drop(producer Producer) { delete(ws.byProducer, producer) }

// loseUnread ends the wait for those events before a position that the spool has
// lost: the ones that were not among those read.
func (ws *waiters) loseUnread(read []SpooledEvent, before uint64) {
	if !ws.any() {
		return
	}
	found := make(map[Producer]bool, len(read))
	for i := range read {
		found[read[i].Event.Producer] = true
	}
	for producer, w := range ws.byProducer {
		if w.position != 0 && w.position < before && !found[producer] {
			ws.answer(producer, nil, true)
		}
	}
}

// loseAll ends every wait.
func (ws *waiters) loseAll() {
	for producer := range ws.byProducer {
		ws.answer(producer, nil, true)
	}
}

// awaitStored waits until the sink has stored an accepted event.
func (s *Store) awaitStored(ctx context.Context, w *waiter) error {
	s.mu.Lock()
	s.window.Hurry(s.last())
	s.mu.Unlock()
	nudge(s.wake)
	s.hook(HookWaitingForStored, 1)

	select {
	case <-w.done:
	default:
		select {
		case <-w.done:
		case <-s.life.reached[ended]:
			s.mu.Lock()
			s.waiters.answer(w.producer, nil, true)
			s.mu.Unlock()
			<-w.done
		case <-ctx.Done():
			s.mu.Lock()
			s.waiters.drop(w.producer)
			s.mu.Unlock()
			return recordError(w.name, fmt.Errorf("%w: the sink has not stored it yet: %w", ErrInDoubt, ctx.Err()))
		}
	}
	switch {
	case w.rejection != nil:
		return &RejectedError{Rejection: *w.rejection}
	case w.lost:
		return recordError(w.name, fmt.Errorf("%w: %w, or the spool was damaged, before the sink had stored it", ErrInDoubt, ErrClosed))
	default:
		return nil
	}
}
