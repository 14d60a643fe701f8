package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/verdict"
)

// The load of signals is the one of the end-to-end tests: a few a second.
const (
	senders, pace = 2, 500 * time.Millisecond
	// problems bounds the open requests of the namespace.
	problems               = 120
	minBackoff, maxBackoff = 100 * time.Millisecond, time.Second
)

// signalLoad sends signals about the run's namespace to the Gateway.
type signalLoad struct {
	*alertmanager.Senders

	env *cluster.Env
}

func newSignalLoad(env *cluster.Env) *signalLoad {
	return &signalLoad{env: env, Senders: alertmanager.NewSenders(alertmanager.Options{
		Namespace: env.Namespace, Pace: pace, MaxProblems: problems / senders, HTTP: env.HTTP, Authorize: env.Tokens.Sender.Authorize,
		NewRoute: func() alertmanager.Route { return alertmanager.Backoff(env.GatewayURL, minBackoff, maxBackoff) },
	})}
}

// start starts senders that send until enough is done.
func (l *signalLoad) start(ctx context.Context, group *errgroup.Group, enough context.Context) {
	context.AfterFunc(enough, l.Finish)
	for range senders {
		random := rand.New(rand.NewPCG(rand.Uint64(), 0))
		group.Go(func() error { return l.Send(ctx, random) })
	}
}

// check waits until every request is classified, flushes every pod, and reads each
// trail once. No store may have rejected an event.
func (l *signalLoad) check(ctx context.Context, result *verdict.Result) error {
	answers, names := l.Answers(), map[string]bool{}
	for i := range answers {
		names[answers[i].Request] = true
	}
	err := testenv.WaitForAll(ctx, l.env, &v1alpha1.RemediationRequestList{}, func(requests map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		for name := range names {
			rr, found := requests[client.ObjectKey{Namespace: l.env.Namespace, Name: name}]
			if !found || !testenv.IsClassified(rr) {
				return false
			}
		}
		return true
	}, client.InNamespace(l.env.Namespace))
	if err != nil {
		return fmt.Errorf("wait until %d requests are classified: %w", len(names), err)
	}
	pods, err := l.env.AnyReady(ctx, cluster.DataStorage)
	if err != nil {
		return err
	}
	url, closeIt, err := l.env.Forward(ctx, cluster.System, pods[0].Name)
	if err != nil {
		return err
	}
	defer closeIt()
	processed := slices.Sorted(maps.Keys(names))
	trails, err := verdict.ReadTrails(ctx, l.env.Flusher, audittrail.Options{
		DataStorageURL: url, HTTP: l.env.Reusing(), Authorize: l.env.Tokens.Reader.Authorize,
	}, processed)
	if err != nil {
		return err
	}
	for _, state := range l.env.StoreStates(ctx) {
		if state.Err != nil {
			return fmt.Errorf("state of the store of %s: %w", state.Service, state.Err)
		}
		if state.Pending > 0 || state.Unacknowledged > 0 {
			return fmt.Errorf("the store of %s has %d pending, and %d rejected or lost events", state.Service, state.Pending, state.Unacknowledged)
		}
	}
	return result.Check(verdict.Observations{Answers: answers, Processed: processed, Trails: trails})
}
