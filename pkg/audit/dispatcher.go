package audit

import (
	"context"
	"log/slog"

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
			s.run(ctx, &delivery{id: id, batch: batch})
			s.mu.Lock()
			s.window.Land(batch)
			s.mu.Unlock()
			nudge(s.wake)
		})
	}
	s.deliveries.Wait()
	s.advance(delivered)
}

// next waits until a batch is due and takes it, or until stalled events are to be
// tried again, for which the batch is empty; nil when there is none to come.
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
		if batch := s.takeStalled(); batch != nil {
			s.mu.Unlock()
			return batch
		}
		closed := s.life.phase >= closing
		lifted := s.window.Probe(s.since(s.clock.Now()))
		if s.window.Due(&s.queue, closed, s.health.Down()) {
			batch, again := s.window.Take(&s.queue)
			s.rearm()
			if batch != nil || again {
				s.mu.Unlock()
				s.logLifted(lifted)
				if batch != nil {
					return batch
				}
				continue
			}
		}
		finished := s.life.phase >= drained && s.window.Waiting()+s.backlog.Events+len(s.queue.Aside()) == 0
		stalledAgain := s.stalled.again
		s.mu.Unlock()
		s.logLifted(lifted)
		if finished {
			return nil
		}
		select {
		case <-s.timer.C():
			s.mu.Lock()
			s.window.Expire(s.queue.Last())
			s.mu.Unlock()
		case <-stalledAgain:
			s.mu.Lock()
			s.stalled.due, s.stalled.again = true, nil
			s.mu.Unlock()
		case <-s.reader.again:
			s.reader.again = nil
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// logLifted logs that the limit of a proxy is no longer assumed.
func (s *Store) logLifted(lifted bool) {
	if lifted {
		s.log(slog.LevelInfo, "audit batches may be as large as configured again")
	}
}
