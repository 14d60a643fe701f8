package queue

// Backlog counts the pending events that are in the spool only. They follow
// those of the Queue: while there are any, everything accepted goes behind
// them, so that sequence numbers have no gap and the order of acceptance is
// kept.
type Backlog struct {
	// Events and Bytes are what it holds. Bytes may be an estimate.
	Events, Bytes int
	// Unreadable is how many of the events the spool has lost and that are not
	// yet terminal.
	Unreadable int
	// Next is the position to read from, Last that of the newest event.
	Next, Last uint64
	// Since is when it began, or was taken over, in nanoseconds.
	Since int64
}

// Add appends an event at a position of the spool.
func (b *Backlog) Add(position uint64, size int, now int64) {
	if b.Events == 0 {
		b.Next, b.Since = position, now
	}
	b.Events++
	b.Bytes += size
	b.Last = position
}

// Remove takes events from the front; next is the position behind them.
func (b *Backlog) Remove(events, bytes int, next uint64) {
	b.Events -= events
	b.Bytes -= bytes
	b.Next = next
	if b.Events == 0 {
		b.Bytes = 0
	}
}
