package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// attemptInterval is the pause between attempts.
	attemptInterval = 500 * time.Millisecond
	// reportInterval is how often a wait repeats a reason that stays the same.
	reportInterval = 10 * time.Second
)

// Wait is the wait, at the start of a program, for something that it depends
// on and that may start at the same time.
type Wait struct {
	// Timeout bounds the wait: the program's --startup-timeout.
	Timeout time.Duration
	// AttemptTimeout bounds one attempt; zero means that only Timeout does.
	AttemptTimeout time.Duration
	// Transient tells whether another attempt may succeed although nobody
	// changes the configuration. Nil means that it always may.
	Transient func(error) bool
	// Report, optional, gets the reason for the wait: at once, whenever it
	// changes, and every 10 seconds.
	Report func(reason error)
}

// Until calls attempt until it succeeds, fails for a reason that is not
// transient, the timeout is over or ctx ends. Its error wraps that of the last
// attempt that was not cut off.
func (w Wait) Until(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	var reason error
	var reported time.Time
	for {
		err := w.try(ctx, attempt)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && reason != nil:
			// The attempt that was cut off knows less than the one before.
			return w.gaveUp(ctx, reason)
		case ctx.Err() != nil:
			return w.gaveUp(ctx, err)
		case w.Transient != nil && !w.Transient(err):
			return err
		}
		changed := reason == nil || reason.Error() != err.Error()
		if w.Report != nil && (changed || time.Since(reported) >= reportInterval) {
			w.Report(err)
			reported = time.Now()
		}
		reason = err
		select {
		case <-ctx.Done():
			return w.gaveUp(ctx, reason)
		case <-time.After(attemptInterval):
		}
	}
}

func (w Wait) try(ctx context.Context, attempt func(context.Context) error) error {
	if w.AttemptTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.AttemptTimeout)
		defer cancel()
	}
	return attempt(ctx)
}

func (w Wait) gaveUp(ctx context.Context, reason error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("stopped while waiting: %w", reason)
	}
	return fmt.Errorf("gave up after --startup-timeout %s: %w", w.Timeout, reason)
}
