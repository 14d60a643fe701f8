package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/internal/lifecycle"
)

var (
	errRefused  = errors.New("connection refused")
	errUnknown  = errors.New("no such host")
	errPassword = errors.New("password authentication failed")
)

// attempts fail one after the other, each after 100 ms; then all succeed.
func attempts(failures ...error) (attempt func(context.Context) error, made *int) {
	made = new(int)
	return func(ctx context.Context) error {
		*made++
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if *made <= len(failures) {
			return failures[*made-1]
		}
		return nil
	}, made
}

func TestWaitEndsWithTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons []string
		wait := lifecycle.Wait{Timeout: time.Minute, Report: func(reason error) { reasons = append(reasons, reason.Error()) }}
		attempt, made := attempts(errUnknown, errRefused, errRefused, errUnknown)
		began := time.Now()
		if err := wait.Until(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*600*time.Millisecond+100*time.Millisecond || *made != 5 {
			t.Errorf("%d attempts in %s", *made, took)
		}
		if want := []string{errUnknown.Error(), errRefused.Error(), errUnknown.Error()}; !slices.Equal(reasons, want) {
			t.Errorf("reported %q, want %q", reasons, want)
		}
	})
}

func TestWaitRepeatsAReasonEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := 0
		wait := lifecycle.Wait{Timeout: time.Minute, Report: func(error) { reported++ }}
		attempt, _ := attempts(slices.Repeat([]error{errRefused}, 50)...) // 30 s
		if err := wait.Until(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
		if reported != 3 {
			t.Errorf("reported %d times in 30 s", reported)
		}
	})
}

func TestWaitGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		wait     lifecycle.Wait
		stop     time.Duration // zero: never
		failures []error
		attempts int
		want     error
		says     string
	}{
		"at the timeout, within an attempt": {
			lifecycle.Wait{Timeout: 650 * time.Millisecond}, 0, []error{errRefused, errUnknown}, 2, errRefused, "--startup-timeout 650ms",
		},
		"at the timeout, between attempts": {
			lifecycle.Wait{Timeout: 400 * time.Millisecond}, 0, []error{errRefused, errRefused}, 1, errRefused, "--startup-timeout 400ms",
		},
		"at the timeout, in the first attempt": {
			lifecycle.Wait{Timeout: 50 * time.Millisecond}, 0, nil, 1, context.DeadlineExceeded, "--startup-timeout 50ms",
		},
		"after attempts that were cut off": {
			lifecycle.Wait{Timeout: 1200 * time.Millisecond, AttemptTimeout: 10 * time.Millisecond}, 0, nil, 3, context.DeadlineExceeded, "--startup-timeout",
		},
		"when it is stopped": {
			lifecycle.Wait{Timeout: time.Minute}, 300 * time.Millisecond, []error{errRefused, errRefused}, 1, errRefused, "stopped while waiting",
		},
		"for a reason that is not transient": {
			lifecycle.Wait{Timeout: time.Minute, Transient: func(err error) bool { return !errors.Is(err, errPassword) }},
			0,
			[]error{errRefused, errPassword},
			2, errPassword, "password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.stop > 0 {
					time.AfterFunc(test.stop, cancel)
				}
				attempt, made := attempts(test.failures...)
				err := test.wait.Until(ctx, attempt)
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || *made != test.attempts {
					t.Errorf("error %v after %d attempts; want %v, %q, after %d", err, *made, test.want, test.says, test.attempts)
				}
			})
		})
	}
}
