package audit

import "time"

// itemState is how far an event has come.
type itemState uint8

const (
	// itemWaiting: no delivery has taken it.
	itemWaiting itemState = iota
	// itemTaken: it is in a batch in flight.
	itemTaken
	// itemSettled: it is stored, rejected or lost.
	itemSettled
)

// item is an accepted event on its way to the sink.
type item struct {
	seq uint64
	// event is nil once it is settled.
	event *Event
	size  int
	// position in the spool, 0 where the event is in memory only.
	position   uint64
	acceptedAt time.Time
	state      itemState
	// loaded says that the event came from the spool: its memory is not the store's to use again.
	loaded bool
}

const (
	// segmentItems is how many items are allocated at a time.
	segmentItems = 256
	// spareSegments is how many are kept for the next items, half a megabyte in all.
	spareSegments = 32
)

type segment [segmentItems]item

// slot is the place of a segment in the queue.
type slot struct {
	// items is nil once all of them are settled, so that one event that is long
	// in flight does not keep the memory of all that came after it.
	items *segment
	// unsettled counts the items that are not settled, or not there yet.
	unsettled int
	// newest is the newest position in the spool among the items.
	newest uint64
}

// queue holds the accepted events by their sequence number, from the oldest
// that is not settled to the newest in memory. Items may settle in any order;
// low, the low watermark, moves over those that are settled without a gap.
// Items do not move in memory, so a pointer to one is good until it is settled.
type queue struct {
	slots  []slot
	spares []*segment
	// first is the sequence number of the first item of slots[0].
	first uint64
	// low is the last sequence number up to which everything is settled, and
	// lowPosition the newest position in the spool among those.
	low, lowPosition uint64
	// last is the newest sequence number.
	last uint64
	// events and bytes are what is not settled.
	events, bytes int
}

func newQueue() queue { return queue{first: 1} }

// push takes the next sequence number and its place, and puts the event there.
func (q *queue) push(event *Event, size int, position uint64, acceptedAt time.Time) *item {
	q.last++
	at := int(q.last - q.first) //nolint:gosec // bounded by the store's bounds
	if at/segmentItems == len(q.slots) {
		q.slots = append(q.slots, slot{items: q.newSegment(), unsettled: segmentItems})
	}
	place := &q.slots[at/segmentItems]
	place.newest = max(place.newest, position)
	it := &place.items[at%segmentItems]
	it.seq, it.size, it.position, it.acceptedAt, it.state, it.loaded = q.last, size, position, acceptedAt, itemWaiting, false
	it.event = event
	q.events++
	q.bytes += size
	return it
}

// newSegment gives a segment, new or used.
func (q *queue) newSegment() *segment {
	n := len(q.spares)
	if n == 0 {
		return new(segment)
	}
	next := q.spares[n-1]
	q.spares[n-1] = nil
	q.spares = q.spares[:n-1]
	return next
}

// at finds an item; nil where it was settled long ago.
func (q *queue) at(seq uint64) *item {
	if seq < q.first {
		return nil
	}
	i := int(seq - q.first) //nolint:gosec // bounded by the store's bounds
	items := q.slots[i/segmentItems].items
	if items == nil {
		return nil
	}
	return &items[i%segmentItems]
}

// settle takes an item out.
func (q *queue) settle(it *item) {
	seq := it.seq
	it.state = itemSettled
	it.event = nil // its memory goes at once, not with the segment
	q.events--
	q.bytes -= it.size
	place := &q.slots[int(seq-q.first)/segmentItems] //nolint:gosec // bounded by the store's bounds
	place.newest = max(place.newest, it.position)
	place.unsettled--
	if seq == q.low+1 {
		q.raiseLow()
	}
	if place.unsettled == 0 {
		q.free(place)
	}
	for len(q.slots) > 0 && q.slots[0].items == nil && q.first+segmentItems <= q.low+1 {
		n := copy(q.slots, q.slots[1:])
		q.slots[n] = slot{}
		q.slots = q.slots[:n]
		q.first += segmentItems
	}
}

// raiseLow moves the low watermark over what is settled without a gap.
func (q *queue) raiseLow() {
	for q.low < q.last {
		i := int(q.low + 1 - q.first) //nolint:gosec // bounded by the store's bounds
		place := &q.slots[i/segmentItems]
		if place.items == nil {
			q.low = q.first + uint64(i/segmentItems+1)*segmentItems - 1
			q.lowPosition = max(q.lowPosition, place.newest)
			continue
		}
		it := &place.items[i%segmentItems]
		if it.state != itemSettled {
			return
		}
		q.low++
		q.lowPosition = max(q.lowPosition, it.position)
	}
}

// free gives up the memory of a segment, or keeps it for later items.
func (q *queue) free(place *slot) {
	if len(q.spares) < spareSegments {
		q.spares = append(q.spares, place.items)
	}
	place.items = nil
}

// owed visits what is not settled up to a sequence number, oldest first.
func (q *queue) owed(upTo uint64, visit func(*item)) {
	q.each(q.low+1, min(upTo, q.last), func(it *item) bool {
		if it.state != itemSettled {
			visit(it)
		}
		return true
	})
}

// each visits the items from one sequence number to another, both newer than
// the low watermark, until visit says no. It passes over segments in which
// everything is settled.
func (q *queue) each(from, to uint64, visit func(*item) bool) {
	for from <= to {
		i := int(from - q.first) //nolint:gosec // bounded by the store's bounds
		rest := segmentItems - i%segmentItems
		if segment := q.slots[i/segmentItems].items; segment != nil {
			items := segment[i%segmentItems:]
			items = items[:min(uint64(rest), to-from+1)]
			for at := range items {
				if !visit(&items[at]) {
					return
				}
			}
		}
		from += uint64(rest)
	}
}
