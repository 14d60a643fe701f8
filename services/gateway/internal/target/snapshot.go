package target

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
)

const (
	// patience is how long a caller waits for a new list if there is an old one.
	patience = time.Second
	// retryAfter is how long an old list is used after a new one could not be loaded in
	// that time.
	retryAfter = 15 * time.Second
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
	failed time.Time // guarded by mu: when a new list could not be loaded in time
}

// get returns the list if it is younger than maxAge of it, else a new one. If that
// cannot be loaded, or takes long, it returns the old one and its age, or an error if
// there is none.
func (s *snapshot[T]) get(ctx context.Context, maxAge func(T) time.Duration) (T, time.Duration, error) {
	value, age, ok := s.current()
	if ok && (age < maxAge(value) || s.failedLately()) {
		return value, age, nil
	}
	detached := context.WithoutCancel(ctx)
	if ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
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
		if answer.Err == nil {
			value, age, _ = s.current()
			return value, age, nil
		}
		if !ok {
			return value, 0, answer.Err
		}
	case <-ctx.Done():
		if !ok {
			return value, 0, fmt.Errorf("%s: %w", s.what, ctx.Err())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = s.clock.Now()
	return value, age, nil
}

func (s *snapshot[T]) failedLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.failed.IsZero() && s.clock.Since(s.failed) < retryAfter
}

func (s *snapshot[T]) current() (T, time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.clock.Since(s.loaded), !s.loaded.IsZero()
}
