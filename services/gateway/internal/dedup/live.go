package dedup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const readTimeout = 5 * time.Second

// liveReads reads requests from the API server. Callers that arrive during a
// read of the same request share the next read, which begins after they
// arrived: each gets a state no older than its call, and a storm of duplicates
// causes one read after the other. This is not singleflight, whose callers join
// a read that has already begun.
type liveReads struct {
	reader client.Reader

	mu      sync.Mutex
	running map[types.NamespacedName]*read // guarded by mu: in progress, closed to newcomers
	waiting map[types.NamespacedName]*read // guarded by mu: begins when the running one ends
}

// read is one shared read; request and err are set before done is closed.
type read struct {
	done    chan struct{}
	request *v1alpha1.RemediationRequest
	err     error
}

func newLiveReads(reader client.Reader) *liveReads {
	return &liveReads{
		reader:  reader,
		running: map[types.NamespacedName]*read{},
		waiting: map[types.NamespacedName]*read{},
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
		go l.run(context.WithoutCancel(ctx), key, l.running[key], r)
	}
	l.mu.Unlock()
	select {
	case <-r.done:
		return r.request, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read request %s: %w", key, ctx.Err())
	}
}

func (l *liveReads) run(ctx context.Context, key types.NamespacedName, before, r *read) {
	if before != nil {
		<-before.done
	}
	l.mu.Lock()
	delete(l.waiting, key)
	l.running[key] = r
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	request := &v1alpha1.RemediationRequest{}
	if err := l.reader.Get(ctx, key, request); err != nil {
		r.err = fmt.Errorf("read request %s: %w", key, err)
	} else {
		r.request = request
	}

	l.mu.Lock()
	if l.running[key] == r {
		delete(l.running, key)
	}
	l.mu.Unlock()
	close(r.done)
}
