package ingest

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

// recent remembers ids that were stored lately, so that replays are known before
// a COPY fails on them. It may forget an id, and take another id for one that it
// knows: both cost time and nothing else. It is safe for concurrent use.
type recent struct {
	// slots hold a hash for each id that came last to them.
	slots []atomic.Uint64
	// expected is for how many transactions replays are to be expected that are not remembered.
	expected atomic.Int64
}

const (
	// recentIDs is a power of two; eight bytes each.
	recentIDs = 1 << 18
	// expectFor is for how many transactions one replay makes others likely: a
	// client that sends what a server stored before this one started sends more of it.
	expectFor = 64
)

func newRecent() *recent { return &recent{slots: make([]atomic.Uint64, recentIDs)} }

// hash is never 0, which an empty slot has.
func hash(id uuid.UUID) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := (binary.BigEndian.Uint64(id[:8])*odd ^ binary.BigEndian.Uint64(id[8:])) * odd
	return h ^ h>>32 | 1
}

func (r *recent) slot(h uint64) *atomic.Uint64 { return &r.slots[h>>1&(recentIDs-1)] }

// add remembers what was stored.
func (r *recent) add(events []*event.Event) {
	for _, e := range events {
		h := hash(e.ID)
		r.slot(h).Store(h)
	}
}

// has reports whether the events probably hold a replay.
func (r *recent) has(events []*event.Event) bool {
	if r.expected.Load() > 0 {
		r.expected.Add(-1)
		return true
	}
	for _, e := range events {
		if h := hash(e.ID); r.slot(h).Load() == h {
			return true
		}
	}
	return false
}

// expect makes has report replays for a while.
func (r *recent) expect() { r.expected.Store(expectFor) }
