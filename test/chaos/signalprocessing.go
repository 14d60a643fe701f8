package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// submitters is how many requests are on their way at the same time.
const submitters = 8

// processingReady is what a SignalProcessing logs once it serves.
const processingReady = "ready"

// SignalProcessing kills SignalProcessings that process requests. Each phase
// that a status has shown has its events afterwards, and none of them twice.
// The program is called as a SignalProcessing's main is.
func SignalProcessing(ctx context.Context, o Options) (tally verdict.Tally, err error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return verdict.Tally{}, fmt.Errorf("prepare: %w", err)
	}
	l, err := newLives(ctx, &o, "signalprocessing")
	if err != nil {
		return verdict.Tally{}, err
	}
	defer func() { err = errors.Join(err, l.dir.Close()) }()
	l.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--management-listen", "127.0.0.1:0", "--leader-elect=false",
		"--kubeconfig", o.Env.Kubeconfig, "--watch-namespace", namespace, "--audit-spool", l.spool(),
	}
	v := newViewer(o.Env, namespace)
	tally.Deeds, err = l.underRequests(ctx, v, func(at addresses) error {
		v.mu.Lock() // the watch goes on
		defer v.mu.Unlock()
		trails, err := readTrails(ctx, o.Env.DataStorage.URL, at.Management, slices.Collect(maps.Keys(v.seen)))
		if err != nil {
			return err
		}
		return tally.Judge(verdict.Seen{Phases: v.seen, Trails: trails})
	})
	return tally, err
}

// underRequests kills lives while requests are submitted, and leaves the last
// one to judge, once every request is processed.
func (l *lives) underRequests(ctx context.Context, v *viewer, judge func(addresses) error) (kills int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error { return v.watch(working) })
	submitted := new(sync.WaitGroup)
	for range submitters {
		submitted.Add(1)
		group.Go(func() error {
			defer submitted.Done()
			return v.submit(working)
		})
	}
	kills, err = l.reign(working, processingReady, v.ticks, func(addresses) {})
	close(v.enough)
	if err == nil {
		err = l.last(ctx, processingReady, func(at addresses) error {
			submitted.Wait()
			if working.Err() != nil {
				return context.Cause(working)
			}
			return judge(at)
		})
	}
	stop()
	_ = group.Wait() // what it says is the reason of err, or its consequence
	return kills, err
}

// viewer submits requests and sees what the statuses of their SignalProcessings show.
type viewer struct {
	env       *testenv.Env
	namespace string
	ticks     chan struct{}
	enough    chan struct{} // closed when no new request is to be submitted

	mu   sync.Mutex
	seen map[string]map[v1alpha1.ProcessingPhase]bool // guarded by mu
	ends map[string]chan struct{}                     // guarded by mu; closed when the request is processed
}

func newViewer(env *testenv.Env, namespace string) *viewer {
	return &viewer{
		env: env, namespace: namespace, ticks: make(chan struct{}, 1), enough: make(chan struct{}),
		seen: map[string]map[v1alpha1.ProcessingPhase]bool{}, ends: map[string]chan struct{}{},
	}
}

// submit creates requests, each when the last one is processed.
func (v *viewer) submit(ctx context.Context) error {
	for {
		select {
		case <-v.enough:
			return nil
		default:
		}
		request := v.env.Request("rr-" + uuid.NewString())
		request.Namespace = v.namespace
		request.Spec.TargetResource.Namespace = v.namespace
		if err := v.env.Create(ctx, request); err != nil {
			return fmt.Errorf("submit a request: %w", err)
		}
		select {
		case <-v.end(request.Name):
		case <-ctx.Done():
			return fmt.Errorf("request %s is not processed: %w", request.Name, context.Cause(ctx))
		}
	}
}

// end is closed when the request is processed.
func (v *viewer) end(request string) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.endOf(request)
}

// endOf finds or makes the request's end. Called with the lock.
func (v *viewer) endOf(request string) chan struct{} {
	if v.ends[request] == nil {
		v.ends[request] = make(chan struct{})
	}
	return v.ends[request]
}

// watch looks at every status until ctx ends.
func (v *viewer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		// From no resource version: it begins with the present state.
		w, err := v.env.Watch(ctx, &v1alpha1.SignalProcessingList{}, client.InNamespace(v.namespace))
		if err == nil {
			err = v.look(ctx, w)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch statuses: %w", err)
		}
	}
	return nil
}

// look reads one watch to its end.
func (v *viewer) look(ctx context.Context, w watch.Interface) error {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			if sp, ok := event.Object.(*v1alpha1.SignalProcessing); ok {
				if err := v.note(sp); err != nil {
					return err
				}
			}
		}
	}
}

func (v *viewer) note(sp *v1alpha1.SignalProcessing) error {
	phase := sp.Status.Phase
	switch phase {
	case "", v1alpha1.ProcessingPending:
		return nil
	case v1alpha1.ProcessingFailed:
		return fmt.Errorf("request %s failed: %s", sp.Name, sp.Status.Message)
	case v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing, v1alpha1.ProcessingCompleted:
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen[sp.Name] == nil {
		v.seen[sp.Name] = map[v1alpha1.ProcessingPhase]bool{}
	}
	if v.seen[sp.Name][phase] {
		return nil
	}
	v.seen[sp.Name][phase] = true
	if phase == v1alpha1.ProcessingCompleted {
		close(v.endOf(sp.Name))
	}
	tick(v.ticks)
	return nil
}
