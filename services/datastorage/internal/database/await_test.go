package database_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/database"
)

var (
	refused  = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	unknown  = &net.DNSError{Err: "no such host", Name: "postgres"}
	starting = &pgconn.PgError{Code: "57P03", Message: "the database system is starting up"}
	password = &pgconn.PgError{Code: "28P01", Message: "password authentication failed"}
)

// attempts fail one after the other, each after 100 ms; then all succeed.
func attempts(failures ...error) (try func(context.Context) error, made *int) {
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

func TestWaitEndsWithTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		wait := database.Wait{Clock: clock.RealClock{}, Said: func(reason error) { said = append(said, reason.Error()) }}
		try, made := attempts(unknown, refused, refused, starting)
		began := time.Now()
		if err := wait.For(t.Context(), try); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*600*time.Millisecond+100*time.Millisecond {
			t.Errorf("took %s", took)
		}
		if *made != 5 {
			t.Errorf("%d attempts", *made)
		}
		if want := []string{unknown.Error(), refused.Error(), starting.Error()}; !slices.Equal(said, want) {
			t.Errorf("said %q, want each reason once", said)
		}
	})
}

func TestWaitRepeatsItsReasonNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := 0
		wait := database.Wait{Clock: clock.RealClock{}, Said: func(error) { said++ }}
		try, _ := attempts(slices.Repeat([]error{refused}, 50)...) // 30 s
		if err := wait.For(t.Context(), try); err != nil {
			t.Fatal(err)
		}
		if said != 3 {
			t.Errorf("said %d times in 30 s, want once in 10 s", said)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 650*time.Millisecond) // within the second attempt
		defer cancel()
		try, made := attempts(refused, refused, refused)
		err := database.Wait{Clock: clock.RealClock{}}.For(ctx, try)
		if !errors.Is(err, refused) || !strings.Contains(err.Error(), "--startup-timeout") {
			t.Errorf("got %v, want the reason and the bound", err)
		}
		if *made != 2 {
			t.Errorf("%d attempts", *made)
		}
	})
}

func TestWaitEndsWithAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		try, _ := attempts(refused, refused)
		wait := database.Wait{Clock: clock.RealClock{}, Said: func(error) { cancel() }}
		if err := wait.For(ctx, try); !errors.Is(err, refused) || !strings.Contains(err.Error(), "told to stop") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatTimeDoesNotMendIsNotWaitedFor(t *testing.T) {
	for _, reason := range []error{password, errors.New("server refused TLS connection")} {
		synctest.Test(t, func(t *testing.T) {
			try, made := attempts(reason, reason)
			wait := database.Wait{Clock: clock.RealClock{}, Said: func(error) { t.Error("waited") }}
			if err := wait.For(t.Context(), try); !errors.Is(err, reason) || *made != 1 {
				t.Errorf("%v: got %v after %d attempts", reason, err, *made)
			}
		})
	}
}
