package audit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// recordAll records one event for each letter, with the letter as its correlation id.
func recordAll(t *testing.T, store *audit.Store, correlationIDs string) {
	t.Helper()
	for i, id := range strings.Split(correlationIDs, "") {
		e := audittest.NewEvent("test.pipeline.event", id)
		e.Data = fmt.Appendf(nil, `{"n":%d}`, i)
		record(t, store, e)
	}
}

// order lists the correlation ids of what is stored, in the order of storing.
func order(sink *audittest.MemorySink) string {
	var ids strings.Builder
	for _, e := range sink.Events() {
		ids.WriteString(e.CorrelationID)
	}
	return ids.String()
}

func TestBatchesInFlight(t *testing.T) {
	t.Parallel()

	t.Run("full batches of different correlation ids go at the same time, up to the limit", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(2, audit.DefaultBatchBytes), audit.WithInFlight(3))
			sink.Hang()
			for i, letters := range []string{"aa", "bb", "cc", "dd"} {
				recordAll(t, store, letters)
				synctest.Wait()
				if got, want := sink.Writes(), min(i+1, 3); got != want {
					t.Errorf("%d batches in flight with %d full ones, want %d", got, i+1, want)
				}
			}
			sink.Recover()
			flush(t, store)
			storedEvents(t, sink, 8)
		})
	})

	t.Run("a later event is not sent while an earlier one of its correlation id is in flight", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(2, audit.DefaultBatchBytes))
			sink.Hang()
			recordAll(t, store, "aaabb")
			synctest.Wait()
			if got := sink.Batches(); !slices.Equal(got, []int{2, 2}) {
				t.Errorf("batches %v in flight, want aa and bb", got)
			}
			sink.Recover()
			flush(t, store)
			if got := order(sink); got != "aabba" && got != "bbaaa" {
				t.Errorf("stored in the order %s", got)
			}
		})
	})

	t.Run("an interval that passes does not wait for the batch in flight", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t)
			sink.Hang()
			recordAll(t, store, "a")
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			recordAll(t, store, "b")
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			if got := sink.Writes(); got != 2 {
				t.Errorf("%d batches in flight, want 2", got)
			}
			sink.Recover()
		})
	})

	t.Run("one delivery at a time probes a sink that is down", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, clock := audittest.NewStore(t, audit.WithBatch(1, audit.DefaultBatchBytes), audit.WithInFlight(4))
			sink.Hang()
			recordAll(t, store, "abcdef")
			synctest.Wait()
			sink.Fail(errDown)
			synctest.Wait()
			failed := sink.Writes()
			for probe := range 5 {
				clock.Step(audit.DefaultLongestBackoff)
				synctest.Wait()
				if got, want := sink.Writes(), failed+probe+1; got != want {
					t.Fatalf("%d writes after %d pauses, want %d", got, probe+1, want)
				}
			}
			sink.Recover()
			clock.Step(audit.DefaultLongestBackoff)
			synctest.Wait()
			storedEvents(t, sink, 6)
		})
	})
}

func TestF5_FlushesWaitForTheBatchInFlightAndShareTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, sink, _ := audittest.NewStore(t)
		sink.Hang()
		flushes := make([]*runningFlush, 0, 8)
		for letter := range strings.SplitSeq("abcdefgh", "") {
			recordAll(t, store, letter)
			flushes = append(flushes, startFlush(t, store))
			synctest.Wait()
		}
		sink.Recover()
		for _, f := range flushes {
			if _, err := f.wait(); err != nil {
				t.Errorf("flush: %v", err)
			}
		}
		if got := sink.Batches(); !slices.Equal(got, []int{1, 7}) {
			t.Errorf("batches %v, want the first event and then the rest", got)
		}
	})
}

func TestBatchSizeAdapts(t *testing.T) {
	t.Parallel()

	t.Run("to more, while full batches pile up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t, audit.WithInFlight(1))
			sink.Hang()
			for range 20_000 {
				record(t, store, audittest.NewEvent("test.pipeline.load", "a"))
			}
			sink.Recover()
			flush(t, store)
			if got := sink.Batches(); !slices.Equal(got[:2], []int{1000, 2000}) || got[2] <= 2000 {
				t.Errorf("batches %v, want 1000, 2000, and then as many as 4 MiB hold", got)
			}
		})
	})

	t.Run("to less, when the sink does not answer in time, and back", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			// A sink that is too slow for more than 100 events at a time.
			slow := &sinkFunc{write: func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				select {
				case <-ctx.Done():
					return audit.Ack{}, ctx.Err()
				case <-time.After(time.Duration(len(batch)) * audit.DefaultWriteTimeout / 101):
					return audit.Ack{Created: len(batch)}, nil
				}
			}}
			store, err := audit.New(slow)
			if err != nil {
				t.Fatal(err)
			}
			for range 1500 {
				record(t, store, audittest.NewEvent("test.pipeline.slow", "a"))
			}
			flush(t, store)
			if got := slow.sizes(); !slices.Equal(got[:5], []int{1000, 500, 250, 125, 62}) || slices.Max(got[5:]) > 125 {
				t.Errorf("batches %v, want halves from 1000 to 62, and few more after that", got)
			}
			if err := store.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	})
}

// sinkFunc is a sink that remembers the sizes of its batches.
type sinkFunc struct {
	write func(ctx context.Context, batch []audit.Event) (audit.Ack, error)

	mu      sync.Mutex
	batches []int
}

func (s *sinkFunc) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	s.mu.Lock()
	s.batches = append(s.batches, len(batch))
	s.mu.Unlock()
	return s.write(ctx, batch)
}

func (s *sinkFunc) sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Whatever the sink does, what is stored of a correlation id is always a
// prefix of what was accepted.
func TestF11_WhatIsStoredIsAPrefixOfWhatWasAccepted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var guard sync.Mutex
			newest := make(map[string]uint64)
			sink := &sinkFunc{write: func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
				guard.Lock()
				pause := time.Duration(random.IntN(300)) * time.Millisecond
				fails := random.IntN(4) == 0
				guard.Unlock()
				<-time.After(pause)
				if fails {
					return audit.Ack{}, errDown
				}
				guard.Lock()
				defer guard.Unlock()
				for _, e := range batch {
					if e.Producer.Sequence <= newest[e.CorrelationID] {
						t.Errorf("seed %d: event %d of %s is stored after event %d", seed, e.Producer.Sequence, e.CorrelationID, newest[e.CorrelationID])
					}
					newest[e.CorrelationID] = e.Producer.Sequence
				}
				return audit.Ack{Created: len(batch)}, nil
			}}
			store, err := audit.New(sink, audit.WithBatch(1+random.IntN(20), audit.DefaultBatchBytes), audit.WithInFlight(1+random.IntN(8)))
			if err != nil {
				t.Fatal(err)
			}
			for range 400 {
				guard.Lock()
				id, pause := fmt.Sprint(random.IntN(10)), time.Duration(random.IntN(20))*time.Millisecond
				guard.Unlock()
				record(t, store, audittest.NewEvent("test.pipeline.prefix", id))
				<-time.After(pause)
			}
			if err := store.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}
