package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"kubernaut.ai/services/datastorage/internal/event"
)

// job is the part of a request that goes to the database: its distinct events.
type job struct {
	// caller is who sent the request; callers share the queue.
	caller  string
	events  []*event.Event // in the order of their ids
	lenient bool
	// exclusive: an event whose id is taken is a conflict.
	exclusive bool
	bytes     int
	queued    time.Time
	// span of the request; not valid without traces.
	span trace.SpanContext
	// settled is closed when outcome and err are final.
	settled chan struct{}
	// Owned by the writer that took the job until settled is closed.
	outcomes []outcome // by event
	// seconds are the events that are stored under a second id, by their place among events.
	seconds map[int]*event.Event
	reasons map[uuid.UUID]string // why the database refuses an event
	token   string
	err     error
}

// outcome is what became of one event.
type outcome int

const (
	created outcome = iota + 1
	duplicate
	conflict
	invalid
)

func (j *job) settle(err error) {
	j.err = err
	close(j.settled)
}

// queue holds the jobs that no writer has taken yet, within bounds.
type queue struct {
	maxEvents, maxBytes int

	mu     sync.Mutex
	filled *sync.Cond
	jobs   []*job // guarded by mu, oldest first
	// What jobs hold together, and by caller; guarded by mu.
	events, bytes int
	held          map[string]load
	closed        bool // guarded by mu
	// owed are the jobs that are not settled, also those that a writer has; guarded by mu.
	owed map[*job]struct{}
	// admitted counts events since the start; guarded by mu.
	admitted uint64

	// flying is how many transactions are under way, guarded by mu like the rest.
	flying int
	// begun is when the last transaction began.
	begun time.Time
	// expected is how many requests the next transaction waits for: while they follow each other within lull, and
	// not beyond until. latest is when the last of them came; at first, when the last transaction ended.
	expected      int
	lull          time.Duration
	latest, until time.Time
	// gathering calls gathered.
	gathering *time.Timer
}

const (
	// From apartEvents or apartBytes on, what waits is worth a transaction beside
	// others. Fewer events share one that begins when the last one has ended,
	// because its fsync costs more than they do.
	apartEvents = 256
	apartBytes  = 256 << 10
	// longestGather bounds the wait for requests that are expected, besides longestLulls.
	longestGather = 20 * time.Millisecond
	// longestLulls is how many times as long as the last transaction took the next one waits at most.
	longestLulls = 4
)

func newQueue(maxEvents, maxBytes int) *queue {
	q := &queue{maxEvents: maxEvents, maxBytes: maxBytes, owed: map[*job]struct{}{}, held: map[string]load{}}
	q.filled = sync.NewCond(&q.mu)
	q.gathering = time.AfterFunc(longestGather, q.gathered)
	return q
}

// put admits a job or says why not, at once. A job that alone is beyond the
// bounds is admitted to an empty queue. Where the queue is full, a caller that holds
// little takes room from one that holds more.
func (q *queue) put(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrStopped
	case q.events > 0 && q.isBeyond(load{q.events, q.bytes}.with(j)) && !q.makeRoom(j):
		return ErrFull
	}
	q.jobs = append(q.jobs, j)
	q.entered(j)
	q.admitted += uint64(len(j.events))
	q.owed[j] = struct{}{}
	if q.expected > 0 {
		q.latest = time.Now()
	}
	q.wake()
	return nil
}

// wake wakes a writer if it finds a transaction to begin: each that wakes up in vain costs as much as a request's hashes.
// It is called with the mutex.
func (q *queue) wake() {
	if q.isDue() {
		q.filled.Signal()
	}
}

// take waits until a transaction is due and returns the oldest jobs, as many as
// hold maxEvents and maxBytes together but at least one; nil when the queue is
// closed and empty. If not all fit, callers take turns.
func (q *queue) take(maxEvents, maxBytes int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.isDue() {
		if q.closed && len(q.jobs) == 0 {
			return nil
		}
		q.filled.Wait()
	}
	if len(q.held) > 1 && (q.events > maxEvents || q.bytes > maxBytes) {
		q.takeTurns()
	}
	n, events, bytes := 0, 0, 0
	for _, j := range q.jobs {
		if n > 0 && (events+len(j.events) > maxEvents || bytes+j.bytes > maxBytes) {
			break
		}
		n++
		events += len(j.events)
		bytes += j.bytes
	}
	for _, j := range q.jobs[:n] {
		q.left(j)
	}
	taken := append([]*job(nil), q.jobs[:n]...)
	clear(q.jobs[:n]) // the array lives on
	if q.jobs = q.jobs[n:]; len(q.jobs) == 0 {
		q.jobs = nil
	}
	q.gathering.Stop()
	q.expected = 0
	q.flying++
	q.begun = time.Now()
	q.wake()
	return taken
}

// isDue reports whether what waits gets a transaction. An idle queue begins at
// once. Clients that got their answers together send their next requests
// together, so the next transaction waits for as many, and for those that missed
// the last one, while they follow each other.
func (q *queue) isDue() bool {
	switch {
	case len(q.jobs) == 0:
		return false
	case q.closed, q.events >= apartEvents, q.bytes >= apartBytes:
		return true
	case q.flying > 0:
		return false
	default:
		return len(q.jobs) >= q.expected
	}
}

// settled forgets jobs that their clients have an answer for; their transaction has ended.
func (q *queue) settled(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		delete(q.owed, j)
	}
	if q.flying--; q.flying > 0 {
		return
	}
	q.latest = time.Now()
	q.lull = min(q.latest.Sub(q.begun), longestGather)
	q.expected, q.until = len(jobs)+len(q.jobs), q.latest.Add(min(longestLulls*q.lull, longestGather))
	q.gathering.Reset(q.lull)
	q.wake()
}

// gathered ends the wait for requests that are expected, if none has come for as long as the last transaction took: one
// that just missed it would have waited as long.
func (q *queue) gathered() {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := q.latest.Add(q.lull)
	if end.After(q.until) {
		end = q.until
	}
	if left := time.Until(end); left > 0 {
		q.gathering.Reset(left)
		return
	}
	q.expected = 0
	q.wake()
}

// close lets take return nil once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// depth returns the number of events that wait for a writer.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events
}

// barrier waits until every job admitted before the call is settled. Its receipt
// has no token.
func (q *queue) barrier(ctx context.Context) (Receipt, error) {
	q.mu.Lock()
	receipt := Receipt{Barrier: q.admitted}
	owed := make([]*job, 0, len(q.owed))
	for j := range q.owed {
		owed = append(owed, j)
		receipt.Events += len(j.events)
	}
	q.mu.Unlock()
	for _, j := range owed {
		select {
		case <-j.settled:
		case <-ctx.Done():
			receipt.Pending = unsettled(owed)
			return receipt, context.Cause(ctx) //nolint:wrapcheck // the caller says what it waited for
		}
	}
	return receipt, nil
}

// unsettled counts the events of jobs that are not settled.
func unsettled(jobs []*job) int {
	events := 0
	for _, j := range jobs {
		select {
		case <-j.settled:
		default:
			events += len(j.events)
		}
	}
	return events
}
