package audittest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
)

// FaultySink writes to another sink and injects faults. A test can count the
// writes and wait for them.
//
// Fail, FailAfterStoring, Hang, Slow, Duplicate and Misbehave set what goes
// wrong with every write; each replaces the one before, and Recover ends it.
// FailNext, FailNextAfterStoring and HangNext take precedence for one write
// each, in the order of the calls. Reject and TakeAtMost are independent of all of
// these, because they are about events and not about writes.
//
// All methods are safe for concurrent use; a store calls Write from several
// goroutines.
type FaultySink struct {
	sink  audit.Sink
	clock clock.Clock

	// rejecting is held while reject runs, so that reject needs no lock.
	rejecting sync.Mutex

	mu sync.Mutex // guards what follows
	// batches are the sizes of the batches, in the order of the calls.
	batches []int
	// running counts the calls that have not returned, most is its maximum.
	running, most int
	// next are the faults of the next writes; always gives those of the writes
	// after them, nil while the sink works. standing is the fault that always
	// gives, the zero value if it gives none or a random one.
	next     []fault
	always   func() fault
	standing fault
	reject   func(audit.Event) error
	// mostBytes bounds a batch, 0 for no bound.
	mostBytes int
	// called rings when a write begins, changed when always is replaced.
	called, changed bell
}

// fault is what goes wrong with a write; the zero value is nothing.
type fault struct {
	// err is the answer; the batch is stored before if stores is set.
	err    error
	stores bool
	// hangs makes the write wait until the faults change.
	hangs bool
	delay time.Duration
	// answer says which of two writes is answered with; zero is a single write.
	answer Answer
}

// Answer is one of the two answers to a batch that was written twice.
type Answer int

// The answers to a batch that was written twice.
const (
	FirstAnswer Answer = iota + 1
	SecondAnswer
)

// NewFaultySink makes a sink that passes its writes on to sink until a fault is
// set. Delays use c; nil is the wall clock, which is a fake one in a
// testing/synctest bubble.
func NewFaultySink(sink audit.Sink, c clock.Clock) *FaultySink {
	if c == nil {
		c = clock.RealClock{}
	}
	return &FaultySink{sink: sink, clock: c}
}

// Write passes the batch on to the sink beneath, or misbehaves.
func (s *FaultySink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	turn := s.begin(len(batch))
	defer s.end()
	f := s.wait(ctx, turn)
	if err := ctx.Err(); err != nil {
		return audit.Ack{}, fmt.Errorf("faulty sink: %w", err)
	}
	if f.err != nil && !f.stores {
		return audit.Ack{}, f.err
	}
	if err := s.oversize(batch); err != nil {
		return audit.Ack{}, err
	}
	if err := s.refusal(batch); err != nil {
		return audit.Ack{}, err
	}
	ack, err := s.sink.Write(ctx, batch)
	if f.answer != 0 {
		if second, secondErr := s.sink.Write(ctx, batch); f.answer == SecondAnswer {
			ack, err = second, secondErr
		}
	}
	if err == nil && f.err != nil {
		return audit.Ack{}, f.err
	}
	return ack, err
}

// Limits returns the limits of the sink beneath, or none.
func (s *FaultySink) Limits() audit.Limits {
	if limited, ok := s.sink.(audit.LimitedSink); ok {
		return limited.Limits()
	}
	return audit.Limits{}
}

// Writes counts the calls of Write, failed ones included.
func (s *FaultySink) Writes() int { return len(s.Batches()) }

// Batches lists the number of events of each call of Write.
func (s *FaultySink) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// MostConcurrent returns the largest number of calls of Write that were in
// flight at once.
func (s *FaultySink) MostConcurrent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// AwaitWrites waits until Write has been called n times in total, whether the
// calls have returned or not. The timer of a slow write is running by then, so
// that a fake clock can be stepped. The error wraps that of ctx.
func (s *FaultySink) AwaitWrites(ctx context.Context, n int) error {
	err := awaitCount(ctx, n, func() (int, <-chan struct{}) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.batches), s.called.next()
	})
	if err != nil {
		return fmt.Errorf("await writes: %w", err)
	}
	return nil
}

// Fail makes every write fail with err, until Recover.
func (s *FaultySink) Fail(err error) { s.become(fault{err: err}) }

// FailAfterStoring makes every write store its batch and then fail with err,
// like a lost response, until Recover.
func (s *FaultySink) FailAfterStoring(err error) { s.become(fault{err: err, stores: true}) }

// Hang makes every write wait for the end of its context, until Recover.
func (s *FaultySink) Hang() { s.become(fault{hangs: true}) }

// Slow delays every write that begins after the call, until Recover. A write
// whose context ends during the delay stores nothing.
func (s *FaultySink) Slow(delay time.Duration) { s.become(fault{delay: delay}) }

// Duplicate writes every batch twice, like a network that repeats a request,
// and returns one of the two answers, until Recover.
func (s *FaultySink) Duplicate(answer Answer) { s.become(fault{answer: answer}) }

// Recover makes the sink work again; writes that hang or are delayed continue at once.
func (s *FaultySink) Recover() { s.behave(fault{}, nil) }

// FailNext makes the next writes fail with one error each; a nil lets its write work.
func (s *FaultySink) FailNext(errs ...error) {
	for _, err := range errs {
		s.enqueue(fault{err: err})
	}
}

// FailNextAfterStoring makes the next write store its batch and then fail.
func (s *FaultySink) FailNextAfterStoring(err error) { s.enqueue(fault{err: err, stores: true}) }

// HangNext makes the next write wait for the end of its context, or for Recover.
func (s *FaultySink) HangNext() { s.enqueue(fault{hangs: true}) }

// Reject makes the sink reject the events for which reject returns an error, by
// index; an error that wraps audit.ErrRefused rejects the whole batch without
// naming an event. Events whose error wraps audit.ErrForbidden are forbidden, by
// index, unless others are rejected. The calls of reject do not overlap.
// Reject(nil) ends it.
func (s *FaultySink) Reject(reject func(audit.Event) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reject = reject
}

// TakeAtMost makes every batch whose events have more bytes of footprint fail with
// audit.ErrTooLarge, like a proxy that limits the size of requests. 0 ends it.
func (s *FaultySink) TakeAtMost(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mostBytes = bytes
}

// become sets the fault of every write.
func (s *FaultySink) become(f fault) { s.behave(f, func() fault { return f }) }

// behave replaces what goes wrong with every write. always is called with the lock.
func (s *FaultySink) behave(standing fault, always func() fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standing, s.always = standing, always
	s.changed.ring()
}

// outOfOrder reports whether the next write will not store and acknowledge its batch by itself.
func (s *FaultySink) outOfOrder() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.standing
	if len(s.next) > 0 {
		f = s.next[0]
	}
	return f.err != nil || f.hangs || f.delay > 0
}

func (s *FaultySink) enqueue(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, f)
}

// turn is a write's fault, and what ends its wait.
type turn struct {
	fault

	// changed is closed when the faults have changed since the fault was taken.
	changed <-chan struct{}
	// timer runs while the write is delayed, else nil.
	timer clock.Timer
}

// begin counts a write, takes its fault and starts its delay, if it has one. It
// wakes AwaitWrites last.
func (s *FaultySink) begin(events int) turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, events)
	s.running++
	s.most = max(s.most, s.running)
	var t turn
	if len(s.next) > 0 {
		t.fault = s.next[0]
		s.next = s.next[1:]
		t.changed = s.changed.next()
	} else {
		t = s.usual()
	}
	if t.delay > 0 {
		t.timer = s.clock.NewTimer(t.delay)
	}
	s.called.ring()
	return t
}

func (s *FaultySink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// usual takes the fault of every write. Called with the lock.
func (s *FaultySink) usual() turn {
	if s.always == nil {
		return turn{}
	}
	return turn{fault: s.always(), changed: s.changed.next()}
}

// wait makes a slow or hanging write wait, and returns its fault. If the faults
// change during the wait, the new fault applies, without a delay.
func (s *FaultySink) wait(ctx context.Context, t turn) fault {
	if t.timer != nil {
		defer t.timer.Stop()
		select {
		case <-t.timer.C():
			return t.fault
		case <-t.changed:
			t = s.again()
		case <-ctx.Done():
		}
	}
	for t.hangs && ctx.Err() == nil {
		select {
		case <-t.changed:
			t = s.again()
		case <-ctx.Done():
		}
	}
	return t.fault
}

func (s *FaultySink) again() turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usual()
}

// oversize is the answer to a batch that is too large.
func (s *FaultySink) oversize(batch []audit.Event) error {
	s.mu.Lock()
	most := s.mostBytes
	s.mu.Unlock()
	bytes := 0
	for i := range batch {
		bytes += batch[i].Footprint()
	}
	if most == 0 || bytes <= most {
		return nil
	}
	return fmt.Errorf("faulty sink: batch of %d bytes: %w: takes %d", bytes, audit.ErrTooLarge, most)
}

// refusal calls reject for every event.
func (s *FaultySink) refusal(batch []audit.Event) error {
	s.mu.Lock()
	reject := s.reject
	s.mu.Unlock()
	if reject == nil {
		return nil
	}
	s.rejecting.Lock()
	defer s.rejecting.Unlock()
	var refused audit.RefusedError
	var forbidden audit.ForbiddenError
	for i := range batch {
		if err := reject(batch[i]); errors.Is(err, audit.ErrRefused) {
			return err
		} else if errors.Is(err, audit.ErrForbidden) {
			forbidden.Items = append(forbidden.Items, audit.Refusal{Index: i, Code: "forbidden", Reason: err.Error()})
		} else if err != nil {
			refused.Items = append(refused.Items, audit.Refusal{Index: i, Code: "invalid", Reason: err.Error()})
		}
	}
	if len(refused.Items) > 0 {
		return &refused
	}
	if len(forbidden.Items) > 0 {
		return &forbidden
	}
	return nil
}
