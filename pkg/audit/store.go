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
//
// Three kinds of goroutines work for it: one dispatches batches, one delivers
// each batch in flight, and one, where there is a spool, writes to that.
type Store struct {
	config

	sink    Sink
	metrics *metrics

	// wake tells the dispatcher that something changed; it holds one token.
	wake chan struct{}
	// spoolWake tells the spooler that something changed; one token.
	spoolWake chan struct{}
	// stop ends the context of the sink and of the dispatcher: the store gives up.
	stop context.CancelFunc
	// deliveries are the batches in flight.
	deliveries sync.WaitGroup
	// events has the memory of events that were stored.
	events eventPool
	// batches has the memory of batches that were written.
	batches sync.Pool
	// delivered is closed when the dispatcher and all deliveries have returned.
	delivered chan struct{}
	// drained is closed when the spooler will accept no more events; at once without a spool.
	drained chan struct{}
	// finish is closed when nothing will be delivered any more.
	finish     chan struct{}
	finishOnce sync.Once
	// given is closed when the spool is given back; at once without a spool.
	given chan struct{}

	// loadAgain fires when the spool, which could not be read, is worth another
	// try; nil while it can be read. Owned by the dispatcher.
	loadAgain <-chan time.Time
	// unreadable says that the last read of the spool failed. Owned by the dispatcher.
	unreadable bool

	// over is closed when the store has given up, and has said what is lost.
	over     chan struct{}
	overOnce sync.Once

	// quarantining is held while events enter or leave the quarantine, in memory
	// and on disk; it is taken before mu.
	quarantining sync.Mutex

	mu sync.Mutex // guards what follows

	// queue has the accepted events in memory that are not settled, backlog
	// those that follow them and are in the spool only.
	queue   queue
	backlog backlog
	// group is the next group of events for the spool, nil while it is empty.
	group *group
	// onWay counts the bytes of the events that the spool has not confirmed yet.
	onWay int
	// released is the position up to which the spool was told that it may forget.
	released uint64
	// releases counts how often it was told.
	releases uint64

	epoch     int64
	produced  uint64
	lastStamp time.Time

	// waiting and waitingBytes are the queued events that no delivery has taken;
	// none of them is older than firstWaiting.
	waiting, waitingBytes int
	firstWaiting          uint64
	// goal is how many waiting events make a full batch; wasSlow says that the
	// sink was once too slow for one.
	goal    int
	wasSlow bool
	// busy are the correlation ids in flight. All waiting events up to blockedTo have one.
	busy      map[string]struct{}
	blockedTo uint64
	// inFlight counts the batches, stalled those of them that wait for something
	// else than the sink.
	inFlight, stalled int
	// timer is for the interval of the oldest waiting event whose interval has
	// not passed; while it is not armed it is stopped and drained.
	timer clock.Timer
	armed bool
	// sendTo is the newest event that somebody waits for, overdueTo the newest
	// whose interval has passed.
	sendTo, overdueTo uint64
	// kicks counts the flushes, each of which is worth an attempt at once.
	kicks uint64
	// kicked is for the deliveries that pause until the next of them.
	kicked waitlist
	// loadKicks is kicks as of the last load.
	loadKicks uint64

	// barriers are those that cover every correlation id, in the order of their
	// sequence numbers; barriersFor the others, by their correlation id.
	barriers    []*barrier
	barriersFor map[string][]*barrier
	// waiters wait until a single event is stored, by its place in the store's life.
	waiters map[Producer]*waiter
	// room and groupRoom are for those who wait for room in the store or the
	// spool, and in the next group for the spool; slots is for the deliveries
	// that were stalled and wait until they may be in flight again.
	room, groupRoom, slots waitlist
	rejected               failures
	lost                   failures
	// retrying are the rejected events that were accepted again and are not settled since.
	retrying map[uuid.UUID]bool
	token    string

	// sinkErr is the newest failure of the sink; nil while it works. writeErr is
	// that of the newest write, also where the sink fails one delivery alone.
	sinkErr, writeErr error
	// sinkFailures counts its failures since it worked.
	sinkFailures int
	// prober is the delivery that tries whether the sink is back; sinkBack is
	// for the others.
	prober   *delivery
	sinkBack waitlist

	closed bool
	// gaveUp says that nothing will be sent or settled any more, lossSaid that
	// what is lost by that is declared so.
	gaveUp, lossSaid bool
	// closers counts the Close calls that still wait.
	closers int
	// spoolDrained says that the spooler will accept no more events.
	spoolDrained bool
	// spoolErr is the newest failure of the spool; nil while it works.
	spoolErr error
	// quarantineErr is the newest failure of the quarantine on disk; nil while it works.
	quarantineErr error
	// giveBackErr is what went wrong when the spool was given back.
	giveBackErr error
}

// New makes a store that writes to sink, and starts it. Unset options have
// their documented defaults; an invalid one is an error. Events that a spool
// has from an earlier life are owed from the start, and so are reported by
// flushes those that were rejected then.
func New(sink Sink, options ...Option) (*Store, error) {
	if sink == nil {
		return nil, errors.New("audit store: sink is nil")
	}
	o, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	limits := Limits{}
	if limited, ok := sink.(LimitedSink); ok {
		limits = limited.Limits()
	}
	if err := o.within(limits); err != nil {
		return nil, err
	}

	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		config:       o,
		sink:         sink,
		wake:         make(chan struct{}, 1),
		spoolWake:    make(chan struct{}, 1),
		stop:         stop,
		delivered:    make(chan struct{}),
		drained:      make(chan struct{}),
		finish:       make(chan struct{}),
		over:         make(chan struct{}),
		given:        make(chan struct{}),
		queue:        newQueue(),
		epoch:        o.clock.Now().UnixMilli(),
		firstWaiting: 1,
		goal:         min(firstGoal, o.batchEvents),
		busy:         make(map[string]struct{}),
		barriersFor:  make(map[string][]*barrier),
		timer:        o.clock.NewTimer(o.interval),
	}
	s.disarm()
	s.adopt()
	if s.metrics, err = newMetrics(s); err != nil {
		stop()
		return nil, err
	}
	s.reportAdopted()
	if s.spool == nil {
		s.spoolDrained = true
		close(s.drained)
		close(s.given)
	} else {
		go s.runSpooler()
	}
	go s.runDispatcher(ctx)
	return s, nil
}

// last is the newest accepted event. Called with the lock.
func (s *Store) last() uint64 { return s.queue.last + uint64(s.backlog.events) } //nolint:gosec // not negative

// owed counts the events that are not settled. Called with the lock.
func (s *Store) owed() int { return s.queue.events + s.backlog.events }

// nudge wakes whoever waits for a token, or makes its next wait end at once.
func nudge(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// arm starts the interval timer, which must not run. Called with the lock.
func (s *Store) arm(interval time.Duration) {
	s.timer.Reset(interval)
	s.armed = true
}

// disarm stops and drains the interval timer. Called with the lock.
func (s *Store) disarm() {
	s.armed = false
	if !s.timer.Stop() {
		select {
		case <-s.timer.C():
		default:
		}
	}
}

// waitlist lets many wait for one thing. Its methods are called with the lock.
type waitlist struct{ changed chan struct{} }

// join gives a channel that is closed by the next wake.
func (l *waitlist) join() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

func (l *waitlist) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wakeRecorders lets all Record calls that wait for room look again. Called with the lock.
func (s *Store) wakeRecorders() {
	s.room.wake()
	s.groupRoom.wake()
}

// durabilityOfType is what the options say about a type of events.
func (s *Store) durabilityOfType(eventType string) Durability {
	if s.durabilityOf != nil {
		if d, ok := s.durabilityOf[eventType]; ok {
			return d
		}
	}
	return s.durability
}

// needsSpool is the error of an event that should be spooled by a store that has no spool.
func needsSpool(durability Durability) error {
	return fmt.Errorf("durability %v needs a spool: open one and pass it with WithSpool", durability)
}
