package queue

import (
	"cmp"
	"slices"
)

// SetAside takes an item out of the order, because the sink does not take it for
// now. It stays pending, and counts for the bounds, but the low watermark passes
// it. The returned item replaces the old one, which must not be used any more.
func (q *Queue[E]) SetAside(it *Item[E]) *Item[E] {
	moved := *it
	moved.State, moved.Aside = Taken, true
	q.Finish(it)
	q.events++
	q.bytes += moved.Size
	at, _ := slices.BinarySearchFunc(q.aside, &moved, bySeq[E])
	q.aside = slices.Insert(q.aside, at, &moved)
	q.asideMoved = true
	return &moved
}

// Aside returns the items that are set aside, oldest first. The slice is valid
// until the next change.
func (q *Queue[E]) Aside() []*Item[E] { return q.aside }

// Move notes that an item that was set aside has another spool position.
func (q *Queue[E]) Move(it *Item[E], position uint64) {
	it.Position = position
	q.asideMoved = true
}

// LowWithoutAside is LowPosition without regard to the items that are set aside.
func (q *Queue[E]) LowWithoutAside() uint64 { return q.lowPosition }

func (q *Queue[E]) finishAside(it *Item[E]) {
	at, found := slices.BinarySearchFunc(q.aside, it, bySeq[E])
	if !found {
		return
	}
	q.aside = slices.Delete(q.aside, at, at+1)
	q.asideMoved = true
	q.events--
	q.bytes -= it.Size
	it.State = Terminal
	it.Event, it.CorrelationID = nil, ""
}

func bySeq[E any](a, b *Item[E]) int { return cmp.Compare(a.Seq, b.Seq) }

// oldestAside returns the smallest spool position of an item that is set aside, 0 without one.
func (q *Queue[E]) oldestAside() uint64 {
	if q.asideMoved {
		q.asideMoved, q.asidePosition = false, 0
		for _, it := range q.aside {
			if it.Position > 0 && (q.asidePosition == 0 || it.Position < q.asidePosition) {
				q.asidePosition = it.Position
			}
		}
	}
	return q.asidePosition
}
