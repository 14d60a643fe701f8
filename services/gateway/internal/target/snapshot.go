package target

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
)

// snapshot is a list that is loaded when somebody needs it. Concurrent callers
// share one load.
type snapshot[T any] struct {
	what  string
	load  func(ctx context.Context) (T, error)
	clock clock.PassiveClock

	shared singleflight.Group

	mu     sync.Mutex
	value  T         // guarded by mu; immutable once stored
	loaded time.Time // guarded by mu; zero before the first load
}

// get returns the list if it is younger than maxAge of it, else a new one. If that
// cannot be loaded, it returns the old one and its age, or an error if there is none.
func (s *snapshot[T]) get(ctx context.Context, maxAge func(T) time.Duration) (T, time.Duration, error) {
	value, age, ok := s.current()
	if ok && age < maxAge(value) {
		return value, age, nil
	}
	detached := context.WithoutCancel(ctx)
	load := s.shared.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(detached, readTimeout)
		defer cancel()
		loaded, err := s.load(ctx)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.value, s.loaded = loaded, s.clock.Now()
		}
		return nil, err
	})
	select {
	case answer := <-load:
		if answer.Err != nil && !ok {
			return value, 0, answer.Err
		}
	case <-ctx.Done():
		if !ok {
			return value, 0, fmt.Errorf("%s: %w", s.what, ctx.Err())
		}
	}
	value, age, _ = s.current()
	return value, age, nil
}

func (s *snapshot[T]) current() (T, time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.clock.Since(s.loaded), !s.loaded.IsZero()
}
