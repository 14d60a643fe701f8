package dedup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	readTimeout = 5 * time.Second
	// readInterval is the shortest time between the beginnings of two reads of a
	// request whose reads are shared.
	readInterval = 10 * time.Millisecond
)

// liveReads reads requests from the API server. Callers that arrive during a
// read of the same request share the next read, which begins after they
// arrived: each gets a state no older than its call, and a storm of duplicates
// causes one read after the other. This is not singleflight, whose callers join
// a read that has already begun.
//
// If a read was shared, the next one begins no earlier than an interval after
// it, so that more callers share it. Callers that do not come in a storm wait
// for nothing.
type liveReads struct {
	reader   client.Reader
	clock    clock.Clock
	interval time.Duration

	mu      sync.Mutex
	latest  map[types.NamespacedName]*read // guarded by mu: has begun, closed to newcomers
	waiting map[types.NamespacedName]*read // guarded by mu: begins when the latest one has ended
}

// read is one shared read; began, request and err are set before done is closed.
type read struct {
	done    chan struct{}
	began   time.Time
	request *v1alpha1.RemediationRequest
	err     error
	callers int // guarded by liveReads.mu
}

func newLiveReads(reader client.Reader, c clock.Clock, interval time.Duration) *liveReads {
	return &liveReads{
		reader:   reader,
		clock:    c,
		interval: interval,
		latest:   map[types.NamespacedName]*read{},
		waiting:  map[types.NamespacedName]*read{},
	}
}

// get returns the current request. It is shared: callers must not change it.
func (l *liveReads) get(ctx context.Context, key types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	l.mu.Lock()
	r, ok := l.waiting[key]
	if !ok {
		r = &read{done: make(chan struct{})}
		l.waiting[key] = r
		// The read serves other callers, too: it must not end with the first one.
		go l.run(context.WithoutCancel(ctx), key, l.latest[key], r)
	}
	r.callers++
	l.mu.Unlock()
	select {
	case <-r.done:
		return r.request, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read request %s: %w", key, ctx.Err())
	}
}

func (l *liveReads) run(ctx context.Context, key types.NamespacedName, before, r *read) {
	shared := l.begin(key, before, r)

	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	request := &v1alpha1.RemediationRequest{}
	if err := l.reader.Get(ctx, key, request); err != nil {
		r.err = fmt.Errorf("read request %s: %w", key, err)
	} else {
		r.request = request
	}
	close(r.done)

	if shared {
		l.sleep(r.began.Add(l.interval))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest[key] == r {
		delete(l.latest, key)
	}
}

// begin waits until a read may begin, closes it to newcomers, and reports
// whether several callers share it.
func (l *liveReads) begin(key types.NamespacedName, before, r *read) bool {
	if before != nil {
		<-before.done
		if l.shared(before) {
			l.sleep(before.began.Add(l.interval))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, key)
	l.latest[key] = r
	r.began = l.clock.Now()
	return r.callers > 1
}

func (l *liveReads) shared(r *read) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.callers > 1
}

// sleep waits until a time.
func (l *liveReads) sleep(until time.Time) {
	if rest := until.Sub(l.clock.Now()); rest > 0 {
		timer := l.clock.NewTimer(rest)
		<-timer.C()
	}
}
