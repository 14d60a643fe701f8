package audit

import "time"

// item is an accepted event on its way to the sink.
type item struct {
	seq        uint64
	event      Event
	size       int
	acceptedAt time.Time
	settled    bool
}

// segmentItems is how many items are allocated at a time.
const segmentItems = 64

type segment [segmentItems]item

// queue holds the accepted events by their sequence number, from the oldest
// that is not settled to the newest. Items may settle in any order; low, the
// low watermark, moves over those that are settled without a gap. Items do not
// move in memory, so a pointer to one is good until it is settled.
type queue struct {
	segments []*segment
	spare    *segment
	// first is the sequence number of segments[0][0].
	first uint64
	// low is the last sequence number up to which everything is settled.
	low uint64
	// last is the newest accepted sequence number.
	last uint64
	// events and bytes are what is not settled.
	events, bytes int
}

func newQueue() queue { return queue{first: 1} }

// push takes the next sequence number and its place.
func (q *queue) push(size int, acceptedAt time.Time) *item {
	q.last++
	at := int(q.last - q.first) //nolint:gosec // bounded by the store's bounds
	if at/segmentItems == len(q.segments) {
		next := q.spare
		q.spare = nil
		if next == nil {
			next = new(segment)
		}
		q.segments = append(q.segments, next)
	}
	it := &q.segments[at/segmentItems][at%segmentItems]
	*it = item{seq: q.last, size: size, acceptedAt: acceptedAt}
	q.events++
	q.bytes += size
	return it
}

// at finds an item that is newer than the low watermark.
func (q *queue) at(seq uint64) *item {
	i := int(seq - q.first) //nolint:gosec // bounded by the store's bounds
	return &q.segments[i/segmentItems][i%segmentItems]
}

// settle takes an item out. It says whether the item was still owed.
func (q *queue) settle(it *item) bool {
	if it.settled {
		return false
	}
	it.settled = true
	it.event = Event{} // its memory goes at once, not with the segment
	q.events--
	q.bytes -= it.size
	for q.low < q.last && q.at(q.low+1).settled {
		q.low++
		if q.low-q.first+1 == segmentItems {
			q.dropFirst()
		}
	}
	return true
}

// dropFirst frees the oldest segment, and keeps one for the next push.
func (q *queue) dropFirst() {
	q.spare = q.segments[0]
	n := copy(q.segments, q.segments[1:])
	q.segments[n] = nil
	q.segments = q.segments[:n]
	q.first += segmentItems
}

// owed visits what is not settled up to a sequence number, oldest first.
func (q *queue) owed(upTo uint64, visit func(*item)) {
	for seq := q.low + 1; seq <= min(upTo, q.last); seq++ {
		if it := q.at(seq); !it.settled {
			visit(it)
		}
	}
}
