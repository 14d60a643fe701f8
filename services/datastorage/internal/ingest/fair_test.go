package ingest //nolint:testpackage // the queue is an inner part

import (
	"errors"
	"fmt"
	"testing"
)

func jobOf(caller string, events int) *job {
	j := someJob(make([]byte, events)...)
	j.caller = caller
	return j
}

// dropped reports whether a job that was admitted was refused afterwards.
func dropped(j *job) bool {
	select {
	case <-j.settled:
		return errors.Is(j.err, ErrFull)
	default:
		return false
	}
}

func TestACallerAloneMayFillTheQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(4, 10_000)
	mustPut(t, q, jobOf("greedy", 1), jobOf("greedy", 1), jobOf("greedy", 2))
	if err := q.put(jobOf("greedy", 1)); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
}

func TestAFullQueueHasRoomForACallerThatHoldsLess(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]*queue{"events": newQueue(4, 100_000), "bytes": newQueue(1000, 400)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			greedy := []*job{jobOf("greedy", 1), jobOf("greedy", 1), jobOf("greedy", 1), jobOf("greedy", 1)}
			mustPut(t, q, greedy...)
			mustPut(t, q, jobOf("other", 1))
			if got := fmt.Sprint(dropped(greedy[2]), dropped(greedy[3])); got != "false true" {
				t.Errorf("jobs that made room: %s, want the youngest", got)
			}
			mustPut(t, q, jobOf("other", 1))
			for _, caller := range []string{"greedy", "other"} {
				if err := q.put(jobOf(caller, 1)); !errors.Is(err, ErrFull) {
					t.Errorf("%s got more than its half: %v", caller, err)
				}
			}
			mustPut(t, q, jobOf("third", 1))
			if q.depth() != 4 || len(q.owed) != 4 {
				t.Errorf("%d events, %d jobs are owed", q.depth(), len(q.owed))
			}
			if n := taken(q, 100, 100_000); n != 4 || len(q.held) != 0 || q.bytes != 0 {
				t.Errorf("%d jobs taken, callers %v, %d bytes left", n, q.held, q.bytes)
			}
		})
	}
}

func TestAJobThatFindsNoRoomTakesNone(t *testing.T) {
	t.Parallel()
	q := newQueue(10, 100_000)
	greedy := []*job{jobOf("greedy", 3), jobOf("greedy", 3), jobOf("greedy", 3)}
	mustPut(t, q, greedy...)
	for _, events := range []int{7, 11} {
		if err := q.put(jobOf("other", events)); !errors.Is(err, ErrFull) {
			t.Errorf("%d events: %v", events, err)
		}
	}
	for i, j := range greedy {
		if dropped(j) {
			t.Errorf("job %d made room for nobody", i)
		}
	}
	mustPut(t, q, jobOf("other", 4))
	if !dropped(greedy[2]) || dropped(greedy[1]) {
		t.Error("a job more than necessary made room")
	}
}

func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	q := newQueue(100, 100_000)
	first, second, large, other := jobOf("greedy", 1), jobOf("greedy", 1), jobOf("greedy", 5), jobOf("other", 1)
	mustPut(t, q, first, second, large, other)
	want := [][]*job{{first, other, second}, {large}}
	for _, wanted := range want {
		jobs := q.take(3, 100_000)
		q.settled(jobs)
		if fmt.Sprint(jobs) != fmt.Sprint(wanted) {
			t.Errorf("took %v, want %v", jobs, wanted)
		}
	}
	if q.depth() != 0 || len(q.held) != 0 {
		t.Errorf("%d events left, callers %v", q.depth(), q.held)
	}
}
