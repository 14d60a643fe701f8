package queue //nolint:testpackage // the number of segments is internal

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type event struct{}

// The queue against a plain list, for random orders of finishing.
func TestItemsFinishInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 0))
		q := New[event](1<<20, 1<<20)
		var pending []*Item[event]
		var positions []uint64 // by sequence number
		finished := map[uint64]bool{}
		for range 2000 {
			if random.IntN(5) < 2+random.IntN(2) {
				position := uint64(0)
				if random.IntN(2) == 0 {
					position = q.last + 1000
				}
				pending = append(pending, q.Push(&event{}, "a", 3, position, 0))
				positions = append(positions, position)
			} else if len(pending) > 0 {
				i := random.IntN(min(len(pending), 600))
				it := pending[i]
				pending = slices.Delete(pending, i, i+1)
				finished[it.Seq] = true
				q.Finish(it)
			}
			low, lowPosition := uint64(0), uint64(0)
			for finished[low+1] {
				low++
				lowPosition = max(lowPosition, positions[low-1])
			}
			if q.Low() != low || q.LowPosition() != lowPosition {
				t.Fatalf("seed %d: low watermark %d at position %d, want %d at %d", seed, q.Low(), q.LowPosition(), low, lowPosition)
			}
			var got []*Item[event]
			q.Pending(q.Last(), func(it *Item[event]) { got = append(got, it) })
			if !slices.Equal(got, pending) || q.Events() != len(pending) || q.Bytes() != 3*len(pending) {
				t.Fatalf("seed %d: %d events of %d bytes pending, want %d", seed, q.Events(), q.Bytes(), len(pending))
			}
			if oldest := q.Oldest(); len(pending) > 0 && oldest != pending[0] || len(pending) == 0 && oldest != nil {
				t.Fatalf("seed %d: the oldest is %+v", seed, oldest)
			}
		}
	}
}

// One event that stays in flight does not pin the memory of those behind it.
func TestMemoryBehindAnOldItemIsFreed(t *testing.T) {
	t.Parallel()
	q := New[event](1<<20, 1<<20)
	q.Push(&event{}, "a", 1, 0, 0)
	for range 100 * segmentItems {
		q.Finish(q.Push(&event{}, "a", 1, 0, 0))
	}
	kept := 0
	for _, s := range q.slots {
		if s.items != nil {
			kept++
		}
	}
	if kept > 2 {
		t.Errorf("%d segments are kept for one event", kept)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sizes []int
		next  int
		fits  bool
	}{
		"empty":           {nil, 100, true},
		"larger than all": {nil, 101, false},
		"bytes left":      {[]int{60}, 40, true},
		"bytes taken":     {[]int{60}, 41, false},
		"events taken":    {[]int{1, 1, 1}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := New[event](3, 100)
			sum := 0
			for _, size := range test.sizes {
				q.Push(&event{}, "a", size, 0, 0)
				sum += size
			}
			if got := q.Fits(test.next); got != test.fits {
				t.Errorf("fits: %v, want %v", got, test.fits)
			}
			if q.FreeEvents() != 3-len(test.sizes) || q.FreeBytes() != 100-sum {
				t.Errorf("%d events and %d bytes are free", q.FreeEvents(), q.FreeBytes())
			}
		})
	}
}

func TestATerminalItemForgetsItsEvent(t *testing.T) {
	t.Parallel()
	q := New[event](3, 100)
	it := q.Push(&event{}, "a", 1, 0, 0)
	q.Push(&event{}, "b", 1, 0, 0)
	q.Finish(it)
	if it.Event != nil || it.CorrelationID != "" || it.State != Terminal {
		t.Errorf("terminal item %+v", it)
	}
}
