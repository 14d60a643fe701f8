package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"k8s.io/utils/clock"
)

const (
	// tryEvery is the pause between attempts to reach a database.
	tryEvery = 500 * time.Millisecond
	// sayEvery is how often a wait repeats a reason that stays the same.
	sayEvery = 10 * time.Second
)

// Wait is the wait for a database that does not answer yet.
type Wait struct {
	Clock clock.Clock
	// Said gets the reason of the wait: at once, whenever it changes, and now
	// and then. Nil: nobody is told.
	Said func(reason error)
}

// For tries until it succeeds, fails for a reason that time does not mend
// (a wrong password, a database that does not exist), or ctx ends. Its error is
// that of the last attempt that ctx did not cut off.
func (w Wait) For(ctx context.Context, try func(context.Context) error) error {
	var reason error
	var said time.Time
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			// The attempt that was cut off knows less than the one before.
			if reason == nil {
				reason = err
			}
			return gaveUp(ctx, reason)
		case !passes(err):
			return err
		}
		if now := w.Clock.Now(); w.Said != nil && (reason == nil || reason.Error() != err.Error() || now.Sub(said) >= sayEvery) {
			w.Said(err)
			said = now
		}
		reason = err
		select {
		case <-ctx.Done():
			return gaveUp(ctx, reason)
		case <-w.Clock.After(tryEvery):
		}
	}
}

func gaveUp(ctx context.Context, reason error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("%w (told to stop while waiting)", reason)
	}
	return fmt.Errorf("%w (waited as long as --startup-timeout says)", reason)
}

// PostgreSQL's codes (appendix A of its manual) for a server that starts,
// stops, or has no connection left at the moment.
var passingCodes = []string{"57P01", "57P02", "57P03", "53300"}

// passes tells whether the next attempt may succeed although nobody changes
// the configuration.
func passes(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return slices.Contains(passingCodes, refused.Code)
	}
	if _, ok := errors.AsType[net.Error](err); ok { // a name that is not known yet, too
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
