package audit //nolint:testpackage // the queue is an inner part

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The queue against a plain list, for random orders of settling.
func TestQueueSettlesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 0))
		q := newQueue()
		var owed []*item
		var positions []uint64 // by sequence number
		settled := map[uint64]bool{}
		for range 2000 {
			if random.IntN(5) < 2+random.IntN(2) {
				position := uint64(0)
				if random.IntN(2) == 0 {
					position = q.last + 1000
				}
				owed = append(owed, q.push(&Event{}, 3, position, time.Time{}))
				positions = append(positions, position)
			} else if len(owed) > 0 {
				i := random.IntN(min(len(owed), 600))
				it := owed[i]
				owed = slices.Delete(owed, i, i+1)
				settled[it.seq] = true
				q.settle(it)
			}
			low, lowPosition := uint64(0), uint64(0)
			for settled[low+1] {
				low++
				lowPosition = max(lowPosition, positions[low-1])
			}
			if q.low != low || q.lowPosition != lowPosition {
				t.Fatalf("seed %d: low watermark %d at position %d, want %d at %d", seed, q.low, q.lowPosition, low, lowPosition)
			}
			var got []*item
			q.owed(q.last, func(it *item) { got = append(got, it) })
			if !slices.Equal(got, owed) || q.events != len(owed) || q.bytes != 3*len(owed) {
				t.Fatalf("seed %d: %d events of %d bytes owed, want %d", seed, q.events, q.bytes, len(owed))
			}
		}
	}
}

// One event that stays in flight does not keep the memory of those behind it.
func TestQueueFreesWhatIsSettledBehindAnOldEvent(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.push(&Event{}, 1, 0, time.Time{})
	for range 100 * segmentItems {
		q.settle(q.push(&Event{}, 1, 0, time.Time{}))
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
