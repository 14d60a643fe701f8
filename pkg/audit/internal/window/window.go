// Package window decides which of the waiting events form the next batch, and
// when it may leave. Its type does not lock: the store's mutex guards it.
package window

import (
	"kubernaut.ai/pkg/audit/internal/queue"
	"kubernaut.ai/pkg/audit/internal/waitlist"
)

// FirstTarget is the number of events that make a full batch until the load
// says otherwise.
const FirstTarget = 1000

// maxPassed bounds how many events whose correlation id is in flight are passed
// over in search of others: a long queue of one id must not make each batch
// cost a walk over all of it.
const maxPassed = 4096

// Limits bound the batches.
type Limits struct {
	// Events and Bytes of one batch.
	Events, Bytes int
	// InFlight is how many batches may be on their way at the same time.
	InFlight int
	// Interval is how long a batch that does not fill up waits after its first
	// event, in nanoseconds.
	Interval int64
}

// Window knows the waiting events of a queue, which it is passed, and the
// batches in flight.
type Window[E any] struct {
	limits Limits

	// waiting and waitingBytes count the events that no batch has taken; none of
	// them is older than first.
	waiting, waitingBytes int
	first                 uint64
	// target is the number of events of a full batch; slow is set once the sink
	// was too slow for a batch.
	target int
	slow   bool
	// limit is the size in bytes that the way to the sink is known to take, 0 for
	// no limit; it is doubled at probeAt.
	limit   int
	probeAt int64
	// busy are the correlation ids in flight. All waiting events up to blockedTo
	// have one of these.
	busy      map[string]struct{}
	blockedTo uint64
	// inFlight is the number of batches on their way; stalled is how many of
	// those are backing off because of their own events rather than the sink.
	inFlight, stalled int
	// slots wakes the stalled batches when another makes room for them.
	slots waitlist.List
	// sendTo is the newest event that somebody waits for, overdueTo the newest
	// whose interval has passed.
	sendTo, overdueTo uint64
	// armed says that the store's timer runs for the interval of the oldest
	// waiting event whose interval has not passed.
	armed bool
}

// New returns a window without waiting events.
func New[E any](limits Limits) Window[E] {
	return Window[E]{
		limits: limits,
		first:  1,
		target: min(FirstTarget, limits.Events),
		busy:   make(map[string]struct{}),
	}
}

// Waiting returns the number of events that no batch has taken.
func (w *Window[E]) Waiting() int { return w.waiting }

// InFlight returns the number of batches on their way.
func (w *Window[E]) InFlight() int { return w.inFlight }

// Stalled returns how many of those back off because of their own events.
func (w *Window[E]) Stalled() int { return w.stalled }

// Target returns the number of events of a full batch.
func (w *Window[E]) Target() int { return w.target }

// Hurry makes everything up to a sequence number leave without waiting for its
// interval.
func (w *Window[E]) Hurry(seq uint64) { w.sendTo = max(w.sendTo, seq) }

// Hurried reports whether somebody waits for an event.
func (w *Window[E]) Hurried(seq uint64) bool { return seq <= w.sendTo }

// Add lets an accepted event wait for its batch. It reports whether the timer
// has to be started for the whole interval, and whether the dispatcher has to
// look again.
func (w *Window[E]) Add(it *queue.Item[E]) (arm, wake bool) {
	wasFull := w.full()
	w.waiting++
	w.waitingBytes += it.Size
	arm = !w.armed
	w.armed = true
	return arm, w.Hurried(it.Seq) || !wasFull && w.full()
}

// AddOverdue is Add for an event that has waited long enough already.
func (w *Window[E]) AddOverdue(it *queue.Item[E]) {
	w.waiting++
	w.waitingBytes += it.Size
	w.Hurry(it.Seq)
}

// Remove takes out an event that becomes terminal while it waits.
func (w *Window[E]) Remove(it *queue.Item[E]) {
	w.waiting--
	w.waitingBytes -= it.Size
}

// Due reports whether a batch should leave. While another is in flight, only a
// full one or one whose interval has passed does, so that many flushes share the
// next; closing stands for a flush of everything. A stalled batch does not
// count, because nobody knows when it will end. While the sink is down one
// batch at a time is tried.
func (w *Window[E]) Due(q *queue.Queue[E], closing, sinkDown bool) bool {
	if w.waiting == 0 || !w.HasRoom(sinkDown) {
		return false
	}
	moving := w.inFlight - w.stalled
	if w.full() {
		return true
	}
	oldest := w.oldest(q)
	return w.overdueTo >= oldest || moving == 0 && (closing || w.Hurried(oldest))
}

// HasRoom reports whether another batch may be in flight. While the sink is down
// one is tried.
func (w *Window[E]) HasRoom(sinkDown bool) bool {
	moving := w.inFlight - w.stalled
	return moving < w.limits.InFlight && (!sinkDown || moving == 0)
}

// Enter takes the place of a batch for events that are not waiting here. Land
// gives it back.
func (w *Window[E]) Enter() *Batch[E] {
	w.inFlight++
	return &Batch[E]{}
}

// Batch is a group of events on its way to the sink.
type Batch[E any] struct {
	Items []*queue.Item[E]

	// correlationIDs are those that the batch keeps busy; terminal items forget theirs.
	correlationIDs []string
}

// Take returns the oldest waiting events, without those whose correlation id is
// in flight; nil when all have to wait. Then again reports whether another call
// may find some behind those that it passed over. Rearm the timer afterwards.
func (w *Window[E]) Take(q *queue.Queue[E]) (b *Batch[E], again bool) {
	b = &Batch[E]{}
	bytes, passed, blockedTo, maxBytes := 0, 0, w.blockedTo, w.maxBytes()
	q.Each(max(w.oldest(q), w.blockedTo+1), q.Last(), func(it *queue.Item[E]) bool {
		switch {
		case it.State != queue.Waiting:
		case w.isBusy(it.CorrelationID):
			if passed++; passed > maxPassed {
				return false
			}
		case len(b.Items) == w.target || len(b.Items) > 0 && bytes+it.Size > maxBytes:
			return false
		default:
			b.Items = append(b.Items, it)
			bytes += it.Size
		}
		// It is taken, or has to wait for a batch to land, and need not be looked at before.
		w.blockedTo = it.Seq
		return true
	})
	if len(b.Items) == 0 {
		return nil, w.blockedTo != blockedTo
	}
	for _, it := range b.Items {
		it.State = queue.Taken
		w.occupy(b, it.CorrelationID)
	}
	w.waiting -= len(b.Items)
	w.waitingBytes -= bytes
	w.inFlight++
	return b, false
}

// Land makes way for the next batch. The correlation ids of this one are free
// again, because its events are terminal, or the store gave up.
func (w *Window[E]) Land(b *Batch[E]) {
	for _, id := range b.correlationIDs {
		delete(w.busy, id)
	}
	w.inFlight--
	w.blockedTo = 0
	w.slots.Wake()
}

// Stall marks one of the batches in flight as held up by its own events.
func (w *Window[E]) Stall() {
	w.stalled++
	w.slots.Wake()
}

// Resume ends a stall. It returns nil, or, while as many batches as allowed are
// moving, a channel that is closed when it is worth another try.
func (w *Window[E]) Resume() <-chan struct{} {
	if w.inFlight-w.stalled >= w.limits.InFlight {
		return w.slots.Join()
	}
	w.Unstall()
	return nil
}

// Unstall ends a stall without a look at the limit: the store gives up.
func (w *Window[E]) Unstall() { w.stalled-- }

// Stored makes batches larger when the sink keeps up with full ones and the next
// is full already: twice as large, until the sink was too slow once, and by an
// eighth from then on.
func (w *Window[E]) Stored(events int) {
	if events < w.target || !w.full() {
		return
	}
	more := w.target
	if w.slow {
		more = w.target/8 + 1
	}
	w.target = min(w.target+more, w.limits.Events)
}

// TooSlow makes the next batches smaller than one that took too long.
func (w *Window[E]) TooSlow(events int) {
	w.slow = true
	w.target = max(1, min(w.target, events/2))
}

// TooLarge reports whether a batch is larger than batches have become since it
// was taken.
func (w *Window[E]) TooLarge(events int) bool {
	return w.slow && events > max(1, w.target)
}

// Expire notes that the interval of the oldest waiting event has passed. What
// was accepted after it, up to last, goes along.
func (w *Window[E]) Expire(last uint64) {
	w.armed = false
	w.overdueTo = last
}

// Rearm returns how long the timer has to run for the oldest waiting event whose
// interval has not passed; 0 if it need not run.
func (w *Window[E]) Rearm(q *queue.Queue[E], now int64) (left int64) {
	w.armed = false
	if w.waiting == 0 {
		return 0
	}
	q.Each(max(w.oldest(q), w.overdueTo+1), q.Last(), func(it *queue.Item[E]) bool {
		if it.State != queue.Waiting {
			return true
		}
		if rest := w.limits.Interval - (now - it.AcceptedAt); rest > 0 {
			w.armed, left = true, rest
			return false
		}
		w.overdueTo = it.Seq
		return true
	})
	return left
}

// full reports whether the waiting events make a full batch.
func (w *Window[E]) full() bool {
	return w.waiting >= w.target || w.waitingBytes >= w.maxBytes()
}

// oldest returns the first waiting event; there must be one.
func (w *Window[E]) oldest(q *queue.Queue[E]) uint64 {
	w.first = max(w.first, q.Low()+1)
	q.Each(w.first, q.Last(), func(it *queue.Item[E]) bool {
		w.first = it.Seq
		return it.State != queue.Waiting
	})
	return w.first
}

func (w *Window[E]) isBusy(correlationID string) bool {
	if w.inFlight == 0 {
		return false
	}
	_, busy := w.busy[correlationID]
	return busy
}

// occupy keeps a correlation id for a batch.
func (w *Window[E]) occupy(b *Batch[E], correlationID string) {
	if n := len(b.correlationIDs); n > 0 && b.correlationIDs[n-1] == correlationID {
		return
	}
	if _, ours := w.busy[correlationID]; ours {
		return
	}
	w.busy[correlationID] = struct{}{}
	b.correlationIDs = append(b.correlationIDs, correlationID)
}
