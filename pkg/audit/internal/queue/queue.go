// Package queue holds the accepted events of a store in the order of
// acceptance: those in memory (Queue) and, behind them, those that are on disk
// only (Backlog). Neither type locks: the store's mutex guards them.
package queue

// State is how far an item has come.
type State uint8

const (
	// Waiting items are in no delivery.
	Waiting State = iota
	// Taken items are part of a delivery in flight.
	Taken
	// Terminal items are stored, rejected or lost.
	Terminal
)

// Item is an accepted event on its way to the sink.
type Item[E any] struct {
	Seq uint64
	// Event is nil once the item is terminal.
	Event *E
	// CorrelationID is the event's; empty once the item is terminal.
	CorrelationID string
	// Size is the event's footprint in bytes.
	Size int
	// Position in the spool; 0 while the event is in memory only.
	Position uint64
	// AcceptedAt is in nanoseconds.
	AcceptedAt int64
	State      State
	// Aside marks an event that was set aside, see Queue.SetAside.
	Aside bool
	// Loaded marks an event that was read back from the spool: its memory is
	// not from the store's pool.
	Loaded bool
}

const (
	// segmentItems is the number of items that are allocated together.
	segmentItems = 256
	// spareSegments is the number of segments that are kept for later items,
	// half a megabyte in all.
	spareSegments = 32
)

type segment[E any] [segmentItems]Item[E]

// slot refers to one segment of the queue.
type slot[E any] struct {
	// items is nil once all of them are terminal, so that one event that stays
	// in flight for long does not pin the memory of all events after it.
	items *segment[E]
	// pending is the number of items that are not terminal, or not yet there.
	pending int
	// newest is the newest spool position among the items.
	newest uint64
}

// Queue holds the events in memory by sequence number, from the oldest pending
// one to the newest. Items may become terminal in any order; the low watermark
// passes those that are terminal without a gap. Items do not move in memory, so
// a pointer to one is valid until it is terminal.
type Queue[E any] struct {
	maxEvents, maxBytes int

	slots  []slot[E]
	spares []*segment[E]
	// first is the sequence number of the first item of slots[0].
	first uint64
	// low is the last sequence number up to which everything is terminal, and
	// lowPosition the newest spool position among those items.
	low, lowPosition uint64
	// last is the newest sequence number.
	last uint64
	// events and bytes count the pending items, those set aside included.
	events, bytes int
	// aside are the items that were set aside, by sequence number.
	aside []*Item[E]
	// asidePosition is the smallest spool position among them, 0 without one;
	// asideMoved says that it has to be determined again.
	asidePosition uint64
	asideMoved    bool
}

// New returns an empty queue for at most so many pending events and bytes. The
// bounds are not enforced: ask Fits first.
func New[E any](maxEvents, maxBytes int) Queue[E] {
	return Queue[E]{maxEvents: maxEvents, maxBytes: maxBytes, first: 1}
}

// Fits reports whether the bounds allow one more event of a size.
func (q *Queue[E]) Fits(size int) bool {
	return q.events < q.maxEvents && q.bytes+size <= q.maxBytes
}

// Events returns the number of pending events.
func (q *Queue[E]) Events() int { return q.events }

// Bytes returns the size of the pending events.
func (q *Queue[E]) Bytes() int { return q.bytes }

// FreeEvents returns how many events the bounds leave.
func (q *Queue[E]) FreeEvents() int { return q.maxEvents - q.events }

// FreeBytes returns how many bytes the bounds leave.
func (q *Queue[E]) FreeBytes() int { return q.maxBytes - q.bytes }

// Last returns the newest sequence number.
func (q *Queue[E]) Last() uint64 { return q.last }

// Low returns the last sequence number up to which every item is terminal.
func (q *Queue[E]) Low() uint64 { return q.low }

// LowPosition returns the spool position up to which every event is terminal:
// the newest among the items up to Low, or the one before an event that was set
// aside.
func (q *Queue[E]) LowPosition() uint64 {
	if aside := q.oldestAside(); aside > 0 {
		return min(q.lowPosition, aside-1)
	}
	return q.lowPosition
}

// Push appends an event and returns its item.
func (q *Queue[E]) Push(event *E, correlationID string, size int, position uint64, acceptedAt int64) *Item[E] {
	q.last++
	at := int(q.last - q.first) //nolint:gosec // bounded by the store's bounds
	if at/segmentItems == len(q.slots) {
		q.slots = append(q.slots, slot[E]{items: q.newSegment(), pending: segmentItems})
	}
	slot := &q.slots[at/segmentItems]
	slot.newest = max(slot.newest, position)
	it := &slot.items[at%segmentItems]
	it.Seq, it.Size, it.Position, it.AcceptedAt, it.State, it.Loaded, it.Aside = q.last, size, position, acceptedAt, Waiting, false, false
	it.Event, it.CorrelationID = event, correlationID
	q.events++
	q.bytes += size
	return it
}

// Oldest returns the oldest pending item; nil without one.
func (q *Queue[E]) Oldest() *Item[E] {
	if len(q.aside) > 0 && (q.events == len(q.aside) || q.aside[0].Seq <= q.low) {
		return q.aside[0]
	}
	if q.events == 0 {
		return nil
	}
	i := int(q.low + 1 - q.first) //nolint:gosec // bounded by the store's bounds
	return &q.slots[i/segmentItems].items[i%segmentItems]
}

// Finish makes an item terminal.
func (q *Queue[E]) Finish(it *Item[E]) {
	if it.Aside {
		q.finishAside(it)
		return
	}
	seq := it.Seq
	it.State = Terminal
	it.Event, it.CorrelationID = nil, "" // their memory goes at once, not with the segment
	q.events--
	q.bytes -= it.Size
	slot := &q.slots[int(seq-q.first)/segmentItems] //nolint:gosec // bounded by the store's bounds
	slot.newest = max(slot.newest, it.Position)
	slot.pending--
	if seq == q.low+1 {
		q.raiseLow()
	}
	if slot.pending == 0 {
		q.free(slot)
	}
	q.trim()
}

// Pending visits the pending items up to a sequence number: those set aside, then
// the others, each oldest first.
func (q *Queue[E]) Pending(upTo uint64, visit func(*Item[E])) {
	for _, it := range q.aside {
		if it.Seq <= upTo {
			visit(it)
		}
	}
	q.Each(q.low+1, upTo, func(it *Item[E]) bool {
		if it.State != Terminal {
			visit(it)
		}
		return true
	})
}

// Each visits the items from one sequence number, which must be above the low
// watermark, to another, until visit returns false. It may skip terminal items.
func (q *Queue[E]) Each(from, to uint64, visit func(*Item[E]) bool) {
	to = min(to, q.last)
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

// newSegment returns a segment, new or used.
func (q *Queue[E]) newSegment() *segment[E] {
	n := len(q.spares)
	if n == 0 {
		return new(segment[E])
	}
	next := q.spares[n-1]
	q.spares[n-1] = nil
	q.spares = q.spares[:n-1]
	return next
}

// raiseLow moves the low watermark past what is terminal without a gap.
func (q *Queue[E]) raiseLow() {
	for q.low < q.last {
		i := int(q.low + 1 - q.first) //nolint:gosec // bounded by the store's bounds
		slot := &q.slots[i/segmentItems]
		if slot.items == nil {
			q.low = q.first + uint64(i/segmentItems+1)*segmentItems - 1
			q.lowPosition = max(q.lowPosition, slot.newest)
			continue
		}
		it := &slot.items[i%segmentItems]
		if it.State != Terminal {
			return
		}
		q.low++
		q.lowPosition = max(q.lowPosition, it.Position)
	}
}

// free drops the memory of a segment, or keeps it for later items.
func (q *Queue[E]) free(slot *slot[E]) {
	if len(q.spares) < spareSegments {
		q.spares = append(q.spares, slot.items)
	}
	slot.items = nil
}

// trim drops the slots below the low watermark.
func (q *Queue[E]) trim() {
	for len(q.slots) > 0 && q.slots[0].items == nil && q.first+segmentItems <= q.low+1 {
		n := copy(q.slots, q.slots[1:])
		q.slots[n] = slot[E]{}
		q.slots = q.slots[:n]
		q.first += segmentItems
	}
}
