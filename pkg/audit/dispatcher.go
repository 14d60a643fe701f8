package audit

import (
	"context"

	"kubernaut.ai/pkg/audit/internal/window"
)

// runDispatcher hands batches, oldest first, to deliveries, until the store is
// closed and nothing is pending, or it gives up.
func (s *Store) runDispatcher(ctx context.Context) {
	for id := uint64(1); ; id++ {
		batch := s.next(ctx)
		if batch == nil {
			break
		}
		s.deliveries.Go(func() {
			s.deliver(ctx, &delivery{id: id, batch: batch})
			s.mu.Lock()
			s.window.Land(batch)
			s.mu.Unlock()
			nudge(s.wake)
		})
	}
	s.deliveries.Wait()
	s.advance(delivered)
}

// next waits until a batch is due and takes it; nil when there is none to come.
func (s *Store) next(ctx context.Context) *window.Batch[Event] {
	for ctx.Err() == nil {
		s.mu.Lock()
		if s.backlog.Unreadable > 0 {
			s.loseUnreadable()
			s.mu.Unlock()
			continue
		}
		if s.wantsLoad() && s.reader.mayRead(s.health.Hurries()) {
			s.mu.Unlock()
			s.load()
			continue
		}
		closed := s.life.phase >= closing
		if s.window.Due(&s.queue, closed, s.health.Down()) {
			batch, again := s.window.Take(&s.queue)
			s.rearm()
			if batch != nil || again {
				s.mu.Unlock()
				if batch != nil {
					return batch
				}
				continue
			}
		}
		finished := s.life.phase >= drained && s.window.Waiting()+s.backlog.Events == 0
		s.mu.Unlock()
		if finished {
			return nil
		}
		select {
		case <-s.timer.C():
			s.mu.Lock()
			s.window.Expire(s.queue.Last())
			s.mu.Unlock()
		case <-s.reader.again:
			s.reader.again = nil
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}
