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

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// submitters is how many requests are processed concurrently.
const submitters = 8

// SignalProcessing kills SignalProcessings that process requests. Afterwards each
// phase that a status has shown has its events, and none of them twice. The
// program takes the arguments of SignalProcessing's main.
func SignalProcessing(ctx context.Context, o Options) (result verdict.Result, err error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("prepare: %w", err)
	}
	p, err := newProcesses(ctx, &o, "signalprocessing")
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, p.dir.Close()) }()
	p.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--management-listen", "127.0.0.1:0", "--leader-elect=false",
		"--kubeconfig", o.Env.Kubeconfig, "--watch-namespace", namespace, "--gateway-namespace", namespace, "--audit-spool", p.spool(),
	}
	v := newObserver(o.Env, namespace)
	result.Disruptions, err = p.killUnderRequests(ctx, v, func(at addresses) error {
		v.mu.Lock() // the watch continues
		defer v.mu.Unlock()
		trails, err := readTrails(ctx, o.Env.DataStorage.URL, at.Management, slices.Collect(maps.Keys(v.seen)))
		if err != nil {
			return err
		}
		return result.Check(verdict.Observations{Phases: v.seen, Trails: trails})
	})
	return result, err
}

// killUnderRequests kills processes while requests are submitted, and calls check
// with the last one, once every request is processed.
func (p *processes) killUnderRequests(ctx context.Context, v *observer, check func(addresses) error) (kills int, err error) {
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
	kills, err = p.killRepeatedly(working, v.ticks, func(addresses) {})
	close(v.stop)
	if err == nil {
		err = p.runLast(ctx, func(at addresses) error {
			submitted.Wait()
			if working.Err() != nil {
				return context.Cause(working)
			}
			return check(at)
		})
	}
	stop()
	_ = group.Wait() // its error is the cause of err, or a consequence of it
	return kills, err
}

// observer submits requests and watches the statuses of their SignalProcessings.
type observer struct {
	env       *testenv.Env
	namespace string
	ticks     chan struct{}
	stop      chan struct{} // closed when no further request is to be submitted

	mu   sync.Mutex
	seen map[string]map[v1alpha1.ProcessingPhase]bool // guarded by mu
	done map[string]chan struct{}                     // guarded by mu; closed when the request is processed
}

func newObserver(env *testenv.Env, namespace string) *observer {
	return &observer{
		env: env, namespace: namespace, ticks: make(chan struct{}, 1), stop: make(chan struct{}),
		seen: map[string]map[v1alpha1.ProcessingPhase]bool{}, done: map[string]chan struct{}{},
	}
}

// submit creates requests, each when the one before it is processed.
func (v *observer) submit(ctx context.Context) error {
	for {
		select {
		case <-v.stop:
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
		case <-v.processed(request.Name):
		case <-ctx.Done():
			return fmt.Errorf("wait until request %s is processed: %w", request.Name, context.Cause(ctx))
		}
	}
}

// processed returns a channel that is closed when the request is processed.
func (v *observer) processed(request string) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.doneLocked(request)
}

// doneLocked finds or makes the request's channel. mu is held.
func (v *observer) doneLocked(request string) chan struct{} {
	if v.done[request] == nil {
		v.done[request] = make(chan struct{})
	}
	return v.done[request]
}

// watch observes every status until ctx ends.
func (v *observer) watch(ctx context.Context) error {
	err := follow(ctx, v.env, &v1alpha1.SignalProcessingList{}, v.namespace, func(event watch.Event) error {
		if sp, ok := event.Object.(*v1alpha1.SignalProcessing); ok {
			return v.observe(sp)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("watch statuses: %w", err)
	}
	return nil
}

func (v *observer) observe(sp *v1alpha1.SignalProcessing) error {
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
		close(v.doneLocked(sp.Name))
	}
	tick(v.ticks)
	return nil
}
