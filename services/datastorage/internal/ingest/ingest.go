// Package ingest writes events. Requests that arrive together share one
// transaction: while a writer waits for a commit, what arrives queues up, and
// the next free writer takes all of it. An idle writer takes a request at once.
// What one request holds never fails another that shares its transaction.
package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// The reasons for which nothing of a request was stored, that pass.
var (
	// ErrFull means that the queue is at its bound.
	ErrFull = errors.New("ingest queue is full")
	// ErrStopped means that the service is stopping.
	ErrStopped = errors.New("ingest is stopping")
)

// UnavailableError means that the database did not confirm the request's
// transaction. It may have committed all the same: sending the request again is safe.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "store events: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }

// RefusedError refuses a request as a whole for some of its events; nothing of it was stored.
type RefusedError struct{ Refusals []event.Refusal }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d events refused, the first for: %s", len(e.Refusals), e.Refusals[0].Detail)
}

// AbandonedError means that the request's context ended before its commit. The
// events may still be stored, and are in use until Settled is closed.
type AbandonedError struct {
	Settled <-chan struct{}
	Err     error
}

func (e *AbandonedError) Error() string { return "wait for the commit: " + e.Err.Error() }

func (e *AbandonedError) Unwrap() error { return e.Err }

// Options of a Writer. Zero values stand for the defaults.
type Options struct {
	// Writers is the number of transactions at a time, 4 by default.
	Writers int
	// TransactionEvents and TransactionBytes bound the events that share a
	// transaction, 10,000 and 32 MiB by default: the server holds a statement in
	// memory as a whole, several times as large. One request may hold more.
	TransactionEvents, TransactionBytes int
	// QueueEvents and QueueBytes bound what waits for a writer: 50,000 and 256 MiB by default.
	QueueEvents, QueueBytes int
	// Timeout of one transaction, 30 s by default.
	Timeout time.Duration
	// Clock, the real one by default.
	Clock clock.WithTicker
	// Metrics, none by default.
	Metrics Metrics
	// Tracer, optional, makes a span of each transaction.
	Tracer trace.Tracer
	// Failed, optional, is told of each transaction that failed.
	Failed func(error)
}

// Metrics is told what a Writer does; it must be safe for concurrent use.
type Metrics interface {
	// Committed is called for each transaction of events that committed.
	Committed(events int, took time.Duration)
	// Waited is called for each request when a writer takes it.
	Waited(inQueue time.Duration)
	// Retried is called for each transaction that is run again.
	Retried()
	// Claimed is called with the number of events that a transaction stored under a
	// second id.
	Claimed(events int)
}

func (o Options) withDefaults() Options {
	const (
		writers     = 4
		transaction = 10_000
		bytes       = 32 << 20
		queueEvents = 50_000
		queueBytes  = 256 << 20
		timeout     = 30 * time.Second
	)
	set := func(value *int, otherwise int) {
		if *value == 0 {
			*value = otherwise
		}
	}
	set(&o.Writers, writers)
	set(&o.TransactionEvents, transaction)
	set(&o.TransactionBytes, bytes)
	set(&o.QueueEvents, queueEvents)
	set(&o.QueueBytes, queueBytes)
	if o.Timeout == 0 {
		o.Timeout = timeout
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return o
}

type noMetrics struct{}

func (noMetrics) Committed(int, time.Duration) {}
func (noMetrics) Waited(time.Duration)         {}
func (noMetrics) Retried()                     {}
func (noMetrics) Claimed(int)                  {}

// Writer stores events. Its methods are safe for concurrent use.
type Writer struct {
	pool    *pgxpool.Pool
	options Options
	queue   *queue
	recent  *recent
	ids     schema.BatchIDs
	memory  atomic.Int64 // of transactions
}

// New makes a Writer that uses pool. It writes while Run runs.
func New(pool *pgxpool.Pool, o Options) (*Writer, error) {
	for name, value := range map[string]int{
		"writers": o.Writers, "transaction events": o.TransactionEvents, "transaction bytes": o.TransactionBytes,
		"queue events": o.QueueEvents, "queue bytes": o.QueueBytes,
	} {
		if value < 0 {
			return nil, fmt.Errorf("%s %d: want a positive number, or 0 for the default", name, value)
		}
	}
	o = o.withDefaults()
	return &Writer{pool: pool, options: o, queue: newQueue(o.QueueEvents, o.QueueBytes), recent: newRecent()}, nil
}

// Run writes until ctx ends, then stores what was admitted and returns. What is
// not stored when grace, which is asked once ctx has ended, is over is cut off:
// its callers get an *UnavailableError, and Run returns an error.
func (w *Writer) Run(ctx context.Context, grace func() time.Duration) error {
	defer context.AfterFunc(ctx, w.queue.close)()
	// What was admitted is finished after ctx has ended; each transaction is bounded.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace(), cut) })()
	var writers sync.WaitGroup
	for range w.options.Writers {
		writers.Go(func() {
			for {
				jobs := w.queue.take(w.options.TransactionEvents, w.options.TransactionBytes)
				if jobs == nil {
					return
				}
				cost := transactionMemory(jobs)
				w.memory.Add(cost)
				w.write(work, jobs)
				w.memory.Add(-cost)
				w.queue.settled(jobs)
			}
		})
	}
	writers.Wait()
	if work.Err() != nil {
		return errors.New("ingest: transactions were cut off at the end of the grace period")
	}
	return nil
}

// TransactionFactor is what a byte of an event costs while it is stored, besides
// the event itself: its text, as a parameter, and in the buffer of the connection,
// which doubles as it grows.
const TransactionFactor = 4

// TransactionMemory is about what the transactions take that are under way.
func (w *Writer) TransactionMemory() int64 { return w.memory.Load() }

func transactionMemory(jobs []*job) int64 {
	sum := 0
	for _, j := range jobs {
		sum += j.bytes
	}
	return TransactionFactor * int64(sum)
}

// Admitted counts the events that were taken since the start.
func (w *Writer) Admitted() uint64 {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return w.queue.admitted
}

// Depth is the number of events that wait for a writer.
func (w *Writer) Depth() int { return w.queue.depth() }

// Request is a decoded body.
type Request struct {
	event.Batch

	// Lenient stores what can be stored; otherwise it is all or nothing.
	Lenient bool
	// Exclusive refuses an event whose id is taken by another one. Otherwise the
	// event is stored under a second id, so that nobody who guesses an id can keep
	// an event out.
	Exclusive bool
}

// Status is what became of one event of a request.
type Status int

// The states of an event after Store.
const (
	Refused Status = iota
	Created
	Duplicate
)

// Result tells what became of a request's events.
type Result struct {
	// Statuses by index.
	Statuses []Status
	// Refusals of a lenient request, in the order of their indexes.
	Refusals []event.Refusal
	// SecondIDs are those that events are stored under whose own is taken, by index.
	SecondIDs map[int]uuid.UUID
	// Token vouches for what is stored; empty where nothing is.
	Token string
}

// Store returns when the request's events are committed, on disk and visible to
// every query that follows. Its errors are ErrFull, ErrStopped, *RefusedError,
// *UnavailableError and *AbandonedError.
func (w *Writer) Store(ctx context.Context, r Request) (Result, error) {
	if !r.Lenient && len(r.Refusals) > 0 {
		return Result{}, &RefusedError{Refusals: r.Refusals}
	}
	p := plan(r)
	if !r.Lenient && len(p.refusals) > 0 {
		return Result{}, &RefusedError{Refusals: p.refusals}
	}
	if len(p.job.events) == 0 {
		return p.result(), nil
	}
	p.job.queued = w.options.Clock.Now()
	if w.options.Tracer != nil {
		p.job.span = trace.SpanContextFromContext(ctx)
	}
	if err := w.queue.put(p.job); err != nil {
		return Result{}, err
	}
	select {
	case <-p.job.settled:
	case <-ctx.Done():
		return Result{}, &AbandonedError{Settled: p.job.settled, Err: context.Cause(ctx)}
	}
	if p.job.err != nil {
		return Result{}, p.refusedOr(p.job.err)
	}
	return p.result(), nil
}

// Receipt says what a Flush covered.
type Receipt struct {
	// Barrier is the number of events admitted before the flush.
	Barrier uint64
	// Events is how many of them it waited for, Pending how many of those were
	// not settled when its context ended.
	Events, Pending int
	// Token vouches for everything that is stored by then; empty on a standby.
	Token string
}

// Flush waits until every request that was admitted before the call has its
// answer. Its errors are that of ctx, with what is pending in the receipt, and
// *UnavailableError.
func (w *Writer) Flush(ctx context.Context) (Receipt, error) {
	receipt, err := w.queue.barrier(ctx)
	if err != nil {
		return receipt, fmt.Errorf("wait for %d events: %w", receipt.Events, err)
	}
	token, err := consistency.Position(ctx, w.pool)
	switch {
	case err == nil:
		receipt.Token = token.String()
	case isStandby(err):
		// It takes no events, so there is nothing to vouch for.
	default:
		w.options.Failed(err)
		return Receipt{}, &UnavailableError{Err: err}
	}
	return receipt, nil
}

// planned is a request with its events told apart.
type planned struct {
	Request

	job *job
	// stored are the request's events as they are stored: under a second id, if
	// another event of the request has theirs.
	stored []*event.Event
	// slots are the places of the request's events in the job, -1 where an event is refused.
	slots []int
	// repeats are the events that repeat an earlier one of the request.
	repeats  map[int]struct{}
	refusals []event.Refusal
}

// secondTries bounds how often a second id that is taken, too, leads to another
// one: whoever guessed as many knew what the event says.
const secondTries = 3

// plan finds the events of a request that repeat or contradict each other.
func plan(r Request) *planned {
	p := &planned{Request: r, stored: r.Events, slots: make([]int, len(r.Events)), refusals: r.Refusals}
	p.job = &job{lenient: r.Lenient, exclusive: r.Exclusive, settled: make(chan struct{}), events: make([]*event.Event, 0, len(r.Events))}
	tries := secondTries
	if r.Exclusive {
		tries = 0
	}
	sorted, contradictions := p.sort()
	for ; len(contradictions) > 0 && tries > 0; tries-- {
		p.stored = slices.Clone(p.stored)
		for _, i := range contradictions {
			p.stored[i] = p.stored[i].UnderSecondID()
		}
		sorted, contradictions = p.sort()
	}
	for _, i := range contradictions {
		p.slots[i] = -1
		p.refusals = append(p.refusals, event.Conflict(i, r.Events[i].ID))
	}
	if len(sorted) > 0 {
		p.job.caller = r.Events[sorted[0]].RecordedBy // all events of a request have one recorder
	}
	for _, i := range sorted {
		if p.slots[i] < 0 {
			continue
		}
		e, last := p.stored[i], len(p.job.events)-1
		if last >= 0 && p.job.events[last].ID == e.ID {
			p.repeat(i, last)
			continue
		}
		p.slots[i] = last + 1
		p.job.events = append(p.job.events, e)
		p.job.bytes += e.Size()
	}
	event.Sort(p.refusals)
	return p
}

// repeat notes that an event repeats the one that has a slot.
func (p *planned) repeat(i, slot int) {
	p.slots[i] = slot
	if p.repeats == nil {
		p.repeats = map[int]struct{}{}
	}
	p.repeats[i] = struct{}{}
}

// sort returns the indexes of the events in the order of their ids, and those of
// the events that contradict an earlier one with their id.
func (p *planned) sort() (sorted, contradictions []int) {
	sorted = byID(p.stored)
	first := 0
	for n, i := range sorted {
		if p.stored[sorted[first]].ID != p.stored[i].ID {
			first = n
		}
		if p.stored[sorted[first]].Digest != p.stored[i].Digest {
			contradictions = append(contradictions, i)
		}
	}
	return sorted, contradictions
}

// byID are the indexes of events in the order of their ids, and of the events
// where ids are the same.
func byID(events []*event.Event) []int {
	indexes := make([]int, 0, len(events))
	sorted := true
	for i, e := range events {
		if e == nil {
			continue
		}
		if n := len(indexes); n > 0 {
			sorted = sorted && bytes.Compare(events[indexes[n-1]].ID[:], e.ID[:]) <= 0
		}
		indexes = append(indexes, i)
	}
	if !sorted {
		slices.SortFunc(indexes, func(a, b int) int {
			return cmp.Or(bytes.Compare(events[a].ID[:], events[b].ID[:]), cmp.Compare(a, b))
		})
	}
	return indexes
}
