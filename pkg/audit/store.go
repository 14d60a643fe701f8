package audit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit/internal/barriers"
	"kubernaut.ai/pkg/audit/internal/commitgroup"
	"kubernaut.ai/pkg/audit/internal/failures"
	"kubernaut.ai/pkg/audit/internal/queue"
	"kubernaut.ai/pkg/audit/internal/sinkhealth"
	"kubernaut.ai/pkg/audit/internal/waitlist"
	"kubernaut.ai/pkg/audit/internal/window"
)

// item is an accepted event on its way to the sink.
type item = queue.Item[Event]

// Store accepts events and sends them to a sink. All methods are safe for
// concurrent use. A store must be closed with Close.
//
// Three kinds of goroutines work for it: the dispatcher forms batches, one
// delivery sends each batch in flight, and the spooler, where there is a spool,
// writes to that.
type Store struct {
	config

	sink    Sink
	metrics *metrics
	// madeAt is the origin of the store's own time, see since.
	madeAt time.Time

	// wake and spoolWake tell the dispatcher and the spooler to look again; each
	// holds one token.
	wake, spoolWake chan struct{}
	// stop ends the context of the dispatcher and its deliveries: the store gives up.
	stop context.CancelFunc
	// deliveries are the batches in flight. Only the dispatcher adds to it.
	deliveries sync.WaitGroup
	// reader reads events back from the spool. Owned by the dispatcher.
	reader reader
	// events has the memory of events that were stored, batches that of batches
	// that were written.
	events  eventPool
	batches sync.Pool

	// quarantining is held while events enter or leave the quarantine, in memory
	// and on disk; it is taken before mu.
	quarantining sync.Mutex

	mu sync.Mutex // guards what follows

	// queue has the pending events in memory, backlog those that follow them and
	// are in the spool only.
	queue   queue.Queue[Event]
	backlog queue.Backlog
	// window decides what leaves next; timer is for the interval of its oldest
	// event, and stopped and drained while it need not run.
	window window.Window[Event]
	timer  clock.Timer
	// barriers are where flushes wait, waiters the Record calls that wait until
	// their event is stored.
	barriers barriers.Set
	waiters  waiters
	// commits forms the groups for the spool; capacity is for the Record calls
	// that wait for room in the store or the spool.
	commits  commitgroup.Committer[*entry]
	capacity waitlist.List
	// health is the sink's, disk the spool's.
	health sinkhealth.Health
	disk   diskHealth
	kicks  kicks
	// rejected and lost are the failures that nobody acknowledged; retrying are
	// the rejected events that were accepted again and are still pending.
	rejected failures.Set[Quarantined]
	lost     failures.Set[Reference]
	retrying map[uuid.UUID]bool
	// stalled are the pending events that the sink does not take for now.
	stalled stalled
	// rejectionLog bounds the log lines about rejected events.
	rejectionLog failures.Log

	stamps stamps
	// token is the newest consistency token.
	token string
	life  lifecycle
}

// New returns a running store that writes to sink. Unset options have their
// documented defaults; an invalid one is an error. Events that a spool has from
// an earlier process are pending from the start, and flushes report those that
// were rejected or lost then.
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
		config:    o,
		sink:      sink,
		madeAt:    o.clock.Now(),
		wake:      make(chan struct{}, 1),
		spoolWake: make(chan struct{}, 1),
		stop:      stop,
		queue:     queue.New[Event](o.maxEvents, o.maxBytes),
		window: window.New[Event](window.Limits{
			Events: o.batchEvents, Bytes: o.batchBytes, InFlight: o.inFlight, Interval: int64(o.interval),
		}),
		timer: o.clock.NewTimer(o.interval),
		health: sinkhealth.New(sinkhealth.Options{
			FirstBackoff: int64(o.firstBackoff), LongestBackoff: int64(o.longestBackoff), Random: o.random.Uint64,
		}),
		life: newLifecycle(),
	}
	s.stamps.epoch = s.madeAt.UnixMilli()
	s.disarm()
	s.adopt()
	if s.metrics, err = newMetrics(s); err != nil {
		stop()
		return nil, err
	}
	s.reportAdopted()
	if s.spool != nil {
		go s.runSpooler()
	}
	go s.runDispatcher(ctx)
	return s, nil
}

// last returns the sequence number of the newest accepted event. Called with the lock.
func (s *Store) last() uint64 { return s.queue.Last() + uint64(s.backlog.Events) } //nolint:gosec // not negative

// pending returns the number of events that are not terminal. Called with the lock.
func (s *Store) pending() int { return s.queue.Events() + s.backlog.Events }

// since is a time on the store's own time line, which does not jump with the
// wall clock, in nanoseconds.
func (s *Store) since(now time.Time) int64 { return int64(now.Sub(s.madeAt)) }

// nudge wakes whoever waits for a token, or makes its next wait end at once.
func nudge(token chan struct{}) {
	select {
	case token <- struct{}{}:
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

// rearm lets the timer run for the oldest waiting event. Called with the lock.
func (s *Store) rearm() {
	s.disarm()
	if left := s.window.Rearm(&s.queue, s.since(s.clock.Now())); left > 0 {
		s.timer.Reset(time.Duration(left))
	}
}

// wakeRecorders lets all Record calls that wait for capacity look again. Called
// with the lock.
func (s *Store) wakeRecorders() {
	s.capacity.Wake()
	s.commits.Capacity().Wake()
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
