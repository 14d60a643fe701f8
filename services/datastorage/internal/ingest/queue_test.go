package ingest //nolint:testpackage // the queue is an inner part

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

func someEvent(id byte, content string) *event.Event {
	e := &event.Event{ID: uuid.UUID{15: id}}
	copy(e.Digest[:], content)
	return e
}

func someJob(ids ...byte) *job {
	j := &job{settled: make(chan struct{})}
	for _, id := range ids {
		j.events = append(j.events, someEvent(id, "same"))
		j.bytes += 100
	}
	return j
}

func mustPut(t *testing.T, q *queue, jobs ...*job) {
	t.Helper()
	for _, j := range jobs {
		if err := q.put(j); err != nil {
			t.Fatal(err)
		}
	}
}

// taken takes jobs, ends their transaction, and returns how many they were.
func taken(q *queue, maxEvents, maxBytes int) int {
	jobs := q.take(maxEvents, maxBytes)
	q.settled(jobs)
	return len(jobs)
}

// takers are writers that take what is due and report how many jobs that was.
func takers(q *queue, writers int) <-chan []*job {
	due := make(chan []*job)
	for range writers {
		go func() {
			for {
				jobs := q.take(10_000, 1<<30)
				if jobs == nil {
					return
				}
				due <- jobs
			}
		}()
	}
	return due
}

func TestSmallRequestsShareTheNextTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100_000, 1<<30)
		due := takers(q, 2)
		mustPut(t, q, someJob(1))
		first := <-due // an idle queue begins at once
		mustPut(t, q, someJob(2), someJob(3))
		synctest.Wait()
		select {
		case <-due:
			t.Fatal("a small transaction began beside another")
		default:
		}
		<-time.After(time.Millisecond) // the transaction takes this long
		q.settled(first)
		second := <-due
		if len(second) != 2 {
			t.Fatalf("%d requests share a transaction, want 2", len(second))
		}
		<-time.After(time.Millisecond)
		q.settled(second)
		mustPut(t, q, someJob(4))
		synctest.Wait()
		select {
		case <-due:
			t.Fatal("the transaction did not wait for the other client's next request")
		default:
		}
		begin := time.Now()
		if last := <-due; len(last) != 1 {
			t.Errorf("%d requests, want 1", len(last))
		}
		if waited := time.Since(begin); waited != time.Millisecond {
			t.Errorf("waited %s for the other client, want as long as the last transaction took", waited)
		}
		q.close()
	})
}

func TestRequestsThatMissedATransactionWaitForThoseAnsweredByIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100_000, 1<<30)
		due := takers(q, 2)
		mustPut(t, q, someJob(1))
		first := <-due
		mustPut(t, q, someJob(2), someJob(3))
		<-time.After(time.Millisecond) // the transaction takes this long
		q.settled(first)
		synctest.Wait()
		mustPut(t, q, someJob(4)) // of the client that was answered
		begin := time.Now()
		if second := <-due; len(second) != 3 || time.Since(begin) != 0 {
			t.Errorf("%d requests share a transaction after %s, want all 3 at once", len(second), time.Since(begin))
		}
		q.close()
	})
}

func TestATransactionWaitsWhileRequestsFollowEachOther(t *testing.T) {
	t.Parallel()
	const took, apart = time.Millisecond, 900 * time.Microsecond
	for name, c := range map[string]struct {
		shared, come int // requests of the last transaction, and those that follow it
		want         int
		waited       time.Duration
	}{
		"all come":                    {shared: 4, come: 4, want: 4, waited: 4 * apart},
		"some stay away":              {shared: 4, come: 2, want: 2, waited: 2*apart + took},
		"they take too long together": {shared: 9, come: 9, want: 4, waited: longestLulls * took},
		"one client":                  {shared: 1, come: 1, want: 1, waited: apart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(100_000, 1<<30)
				for range c.shared {
					mustPut(t, q, someJob(1))
				}
				due := takers(q, 2)
				last := <-due
				<-time.After(took)
				q.settled(last)
				begin := time.Now()
				go func() {
					for range c.come {
						<-time.After(apart)
						_ = q.put(someJob(1))
					}
				}()
				next := <-due
				if waited := time.Since(begin); len(next) != c.want || waited != c.waited {
					t.Errorf("%d requests share a transaction after %s, want %d after %s", len(next), waited, c.want, c.waited)
				}
				for left := c.come - len(next); left > 0; {
					q.settled(next)
					next = <-due
					left -= len(next)
				}
				q.close()
			})
		})
	}
}

func TestLargeRequestsHaveTransactionsBesideOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100_000, 1<<30)
		due := takers(q, 2)
		large := func() *job {
			j := someJob(1)
			j.bytes = apartBytes
			return j
		}
		mustPut(t, q, large())
		<-due
		mustPut(t, q, large())
		<-due
		q.close()
	})
}

func TestQueueRefusesBeyondItsBounds(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]*queue{"events": newQueue(3, 1000), "bytes": newQueue(100, 300)} {
		mustPut(t, q, someJob(1, 2))
		if err := q.put(someJob(3, 4)); !errors.Is(err, ErrFull) {
			t.Errorf("%s: got %v, want ErrFull", name, err)
		}
		mustPut(t, q, someJob(3))
		taken(q, 1, 1000)
		taken(q, 1, 1000)
		mustPut(t, q, someJob(1, 2, 3, 4)) // alone it may be larger
		if q.depth() != 4 {
			t.Errorf("%s: depth %d", name, q.depth())
		}
	}
}

func TestTakeGathersWhatArrived(t *testing.T) {
	t.Parallel()
	const most = 3
	q := newQueue(100, 10_000)
	mustPut(t, q, someJob(1, 2), someJob(3), someJob(4, 5, 6, 7), someJob(8), someJob(9))
	for i, want := range []int{2, 1, 2} { // whole jobs: one may be larger
		if got := taken(q, most, 10_000); got != want {
			t.Errorf("take %d: %d jobs, want %d", i, got, want)
		}
	}
	if q.depth() != 0 {
		t.Errorf("%d events left", q.depth())
	}
}

func TestTakeBoundsTheBytesOfATransaction(t *testing.T) {
	t.Parallel()
	q := newQueue(100, 10_000)
	mustPut(t, q, someJob(1), someJob(2), someJob(3), someJob(4, 5, 6), someJob(7))
	for i, want := range []int{2, 1, 1, 1} { // whole jobs: one may be larger
		if got := taken(q, 100, 250); got != want {
			t.Errorf("take %d: %d jobs, want %d", i, got, want)
		}
	}
}

func TestTakeEndsWithTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10, 1000)
		mustPut(t, q, someJob(1))
		taken := make(chan int, 2)
		go func() {
			for {
				jobs := q.take(10, 10_000)
				taken <- len(jobs)
				if jobs == nil {
					return
				}
				q.settled(jobs)
			}
		}()
		synctest.Wait()
		q.close()
		if first, second := <-taken, <-taken; first != 1 || second != 0 {
			t.Errorf("took %d and %d jobs, want 1 and none", first, second)
		}
		if err := q.put(someJob(2)); !errors.Is(err, ErrStopped) {
			t.Errorf("got %v, want ErrStopped", err)
		}
	})
}

func TestBarrierWaitsForWhatWasAdmittedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10, 10_000)
		before, after := someJob(1, 2), someJob(3)
		mustPut(t, q, before)
		q.take(10, 10_000) // a writer has it: it is owed all the same
		done := make(chan int, 1)
		go func() {
			receipt, err := q.barrier(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- receipt.Events
		}()
		synctest.Wait()
		mustPut(t, q, after)
		select {
		case <-done:
			t.Fatal("the barrier passed before its job was settled")
		default:
		}
		before.settle(nil)
		q.settled([]*job{before})
		if events := <-done; events != 2 {
			t.Errorf("waited for %d events, want 2", events)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want := Receipt{Barrier: 3, Events: 1, Pending: 1}
		if receipt, err := q.barrier(ctx); !errors.Is(err, context.DeadlineExceeded) || receipt != want {
			t.Errorf("got %+v, %v", receipt, err)
		}
	})
}

func TestContradictingJobsDoNotShareATransaction(t *testing.T) {
	t.Parallel()
	first, same, other, third := someJob(1, 2), someJob(2), someJob(3), someJob(4)
	other.events = append(other.events, someEvent(2, "other"))
	g, rest := together([]*job{first, same, other, third})
	if len(g.jobs) != 3 || len(rest) != 1 || rest[0] != other {
		t.Errorf("got %d together and %d apart", len(g.jobs), len(rest))
	}
	if len(g.events) != 3 {
		t.Errorf("%d distinct events, want 3", len(g.events))
	}
}
