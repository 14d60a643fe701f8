package query

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/database"
)

// busyTurns are turns while many events are stored.
func busyTurns() (*turns, *atomic.Uint64) {
	var stored atomic.Uint64
	t := newTurns(clock.RealClock{}, stored.Load)
	stored.Add(1_000_000)
	time.Sleep(sampleEvery) //nolint:forbidigo // the clock of the bubble
	return t, &stored
}

func TestSearchesBesideNoIngestDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stored atomic.Uint64
		all := newTurns(clock.RealClock{}, stored.Load)
		time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		stored.Add(busyRate - 1)
		for range 20 { // none of which ends
			if ctx, _, err := all.take(t.Context()); err != nil || isShared(ctx) {
				t.Fatalf("a search waited, or shares its turn: %v", err)
			}
		}
	})
}

func TestSearchesBesideIngestRunOneAfterTheOtherWithRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _ := busyTurns()
		const searches, long = 20, 75 * time.Millisecond
		var running atomic.Int32
		began := time.Now()
		ended := make(chan time.Duration, searches)
		for range searches {
			go func() {
				ctx, end, err := all.take(t.Context())
				if err != nil || !isShared(ctx) || running.Add(1) != 1 {
					t.Errorf("error %v, running %d", err, running.Load())
				}
				time.Sleep(long) //nolint:forbidigo // the clock of the bubble
				running.Add(-1)
				end()
				ended <- time.Since(began)
			}()
		}
		var last time.Duration
		for range searches {
			last = <-ended
		}
		if want := (2*searches - 1) * long; last != want {
			t.Errorf("took %s together, want %s", last, want)
		}
	})
}

func TestASearchThatIsGivenUpLeavesItsTurnToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _ := busyTurns()
		_, end, err := all.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(sampleEvery / 2) //nolint:forbidigo // the clock of the bubble
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := all.take(impatient); err == nil {
			t.Error("two searches run")
		}
		end()
		if _, _, err := all.take(impatient); err == nil {
			t.Error("there was no rest")
		}
		if _, _, err := all.take(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTurnsEndWithTheIngest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _ := busyTurns()
		if ctx, _, err := all.take(t.Context()); err != nil || !isShared(ctx) {
			t.Fatalf("a search beside ingest has its turn alone, or none: %v", err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		if ctx, _, err := all.take(t.Context()); err != nil || isShared(ctx) {
			t.Errorf("a search waits for nothing: %v", err)
		}
	})
}

func TestASearchDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _ := busyTurns()
		if _, _, err := all.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, _, err := all.take(t.Context()); !errors.Is(err, database.ErrBusy) || time.Since(began) != turnPatience {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
