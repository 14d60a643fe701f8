// Package commitgroup collects the events that share one write to the spool and
// its fsync. Its types do not lock: the store's mutex guards them.
package commitgroup

import (
	"slices"

	"kubernaut.ai/pkg/audit/internal/waitlist"
)

// MaxBytes bounds the events that the spool has not confirmed yet: a store holds
// them in memory beside its bounds.
const MaxBytes = 4 << 20

// Group is the events of one write. Its fields are not read before Done is
// closed, except by the goroutine that took it.
type Group[T any] struct {
	Entries []T
	// Done is closed when the events are on disk and accepted, or Err says why not.
	Done chan struct{}
	Err  error
}

// Committer collects the next group while the one before it is written.
type Committer[T any] struct {
	// next is nil while it is empty.
	next *Group[T]
	// bytes is the size of the events that the spool has not confirmed yet.
	bytes int
	// capacity wakes those who wait for room in the next group.
	capacity waitlist.List
	// released is the position up to which the spool was told that it may
	// forget, releases how often it was told.
	released, releases uint64
}

// Fits reports whether an event of a size may join. One that is larger than
// all fits alone.
func (c *Committer[T]) Fits(size int) bool { return c.bytes == 0 || c.bytes+size <= MaxBytes }

// Capacity is for those who wait until an event fits.
func (c *Committer[T]) Capacity() *waitlist.List { return &c.capacity }

// Join adds an entry to the next group.
func (c *Committer[T]) Join(entry T, size int) *Group[T] {
	if c.next == nil {
		c.next = &Group[T]{Done: make(chan struct{})}
	}
	c.next.Entries = append(c.next.Entries, entry)
	c.bytes += size
	return c.next
}

// Leave takes an entry back, by a function that recognizes it. It returns false
// if somebody has begun to write the group.
func (c *Committer[T]) Leave(g *Group[T], size int, is func(T) bool) bool {
	if c.next != g {
		return false
	}
	g.Entries = slices.DeleteFunc(g.Entries, is)
	c.Confirm(size)
	return true
}

// Take returns the next group for writing; nil while it is empty.
func (c *Committer[T]) Take() *Group[T] {
	g := c.next
	c.next = nil
	if g == nil || len(g.Entries) == 0 {
		return nil
	}
	return g
}

// Confirm makes room for as many bytes: a write of them has ended.
func (c *Committer[T]) Confirm(bytes int) {
	c.bytes -= bytes
	c.capacity.Wake()
}

// NextRelease reports whether the spool may forget more than it was told, now
// that everything up to a position is terminal; if so, the caller tells it.
func (c *Committer[T]) NextRelease(upTo uint64) bool {
	if upTo <= c.released {
		return false
	}
	c.released = upTo
	return true
}

// Released notes that the spool was told.
func (c *Committer[T]) Released() { c.releases++ }

// Releases returns how often the spool was told. An attempt that found the spool
// full is worth another one if it has grown since.
func (c *Committer[T]) Releases() uint64 { return c.releases }
