package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
)

// Store accepts events and sends them to a sink. All methods are safe for
// concurrent use. A store must be closed with Close.
type Store struct {
	config

	sink    Sink
	metrics *metrics

	// wake tells the sender that something changed; it holds one token.
	wake chan struct{}
	// stop ends the sink's context: the store gives up.
	stop context.CancelFunc
	// done is closed when the sender has returned.
	done chan struct{}

	mu sync.Mutex // guards what follows
	// queue has the accepted events that are not settled.
	queue     queue
	epoch     int64
	lastStamp time.Time
	// taken is the newest event that the sender took; the unsent ones are newer.
	taken       uint64
	unsentBytes int
	// interval timer: running while there are unsent events, else stopped and drained.
	timer clock.Timer
	// sendTo is the newest event that somebody waits for.
	sendTo uint64
	// kicks counts the flushes, each of which is worth an attempt at once.
	kicks    uint64
	barriers []*barrier
	// room is closed when there may be room; nil while nobody waits for it.
	room     chan struct{}
	rejected failures
	lost     failures
	token    string
	// sinkErr is the newest failure of the sink; nil while it works.
	sinkErr error
	closed  bool
	// closers counts the Close calls that still wait.
	closers int
}

// New makes a store that writes to sink, and starts it. Unset options have
// their documented defaults; an invalid one is an error.
func New(sink Sink, options ...Option) (*Store, error) {
	if sink == nil {
		return nil, errors.New("audit store: sink is nil")
	}
	o, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	if limited, ok := sink.(LimitedSink); ok {
		if err := o.within(limited.Limits()); err != nil {
			return nil, err
		}
	} else if err := o.within(Limits{}); err != nil {
		return nil, err
	}

	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		config: o,
		sink:   sink,
		wake:   make(chan struct{}, 1),
		stop:   stop,
		done:   make(chan struct{}),
		queue:  newQueue(),
		epoch:  o.clock.Now().UnixMilli(),
		timer:  o.clock.NewTimer(o.interval),
	}
	s.disarm()
	if s.metrics, err = newMetrics(s); err != nil {
		stop()
		return nil, err
	}
	go s.run(ctx)
	return s, nil
}

// Record accepts an event: when it returns nil the store owes it to the sink.
//
// The event is copied. Where they are zero the copy gets an ID, a Version and
// a Timestamp that is strictly later, by its microsecond, than those stamped
// before. Record does not wait for the sink, except for room under the Wait
// policy; then the context bounds the wait and the error wraps its cause and
// ErrFull. Other errors are *ValidationError, ErrFull and ErrClosed. An event
// is accepted only if the error is nil.
func (s *Store) Record(ctx context.Context, e *Event) error {
	if e == nil {
		return errors.New("record audit event: event is nil")
	}
	if err := e.Validate(); err != nil {
		return err
	}
	event := e.clone()
	if event.Version == "" {
		event.Version = SchemaVersion
	}
	size := event.footprint()

	s.mu.Lock()
	for !s.closed && !s.fits(size) {
		if s.fullPolicy == Refuse {
			s.mu.Unlock()
			return ErrFull
		}
		room := s.awaitRoom()
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("record audit event: %w: %w", ErrFull, ctx.Err())
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.accept(&event, size)
	return nil
}

// fits says whether the bounds allow one more event. Called with the lock.
func (s *Store) fits(size int) bool {
	return s.queue.events < s.maxEvents && s.queue.bytes+size <= s.maxBytes
}

// awaitRoom makes the sender hurry: the events that fill the store must not
// wait for their interval while somebody waits for room. Called with the lock.
func (s *Store) awaitRoom() <-chan struct{} {
	if s.room == nil {
		s.room = make(chan struct{})
	}
	s.sendTo = s.queue.last
	s.nudge()
	return s.room
}

// accept stamps an event and queues it. Called with the lock, so that the
// order of acceptance is the order of sequence numbers, stamps and ids.
func (s *Store) accept(event *Event, size int) {
	now := s.clock.Now()
	stamp := now.UTC().Truncate(time.Microsecond)
	if !stamp.After(s.lastStamp) {
		stamp = s.lastStamp.Add(time.Microsecond)
	}
	s.lastStamp = stamp

	wasFull := s.full()
	it := s.queue.push(size, now)
	if event.ID == uuid.Nil {
		event.ID = newID(stamp, s.random)
	}
	if event.Timestamp.IsZero() {
		event.Timestamp = stamp
	} else {
		event.Timestamp = event.Timestamp.UTC().Truncate(time.Microsecond)
	}
	event.Producer = Producer{ID: s.producerID, Epoch: s.epoch, Sequence: it.seq}
	it.event = *event

	s.unsentBytes += size
	switch {
	case !wasFull && s.full():
		s.nudge()
	case it.seq == s.taken+1:
		s.timer.Reset(s.interval)
	}
	s.metrics.accepted.Inc()
}

// full says whether the unsent events make a full batch. Called with the lock.
func (s *Store) full() bool {
	return s.queue.last-s.taken >= uint64(s.batchEvents) || s.unsentBytes >= s.batchBytes //nolint:gosec // positive
}

// nudge wakes the sender, or makes its next wait end at once.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// disarm stops and drains the interval timer. Called with the lock.
func (s *Store) disarm() {
	if !s.timer.Stop() {
		select {
		case <-s.timer.C():
		default:
		}
	}
}

// wakeRecorders lets the Record calls that wait for room look again. Called with the lock.
func (s *Store) wakeRecorders() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}
