package webhook

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
)

// workers is how many signals of one body are processed concurrently.
const workers = 8

// WorkingMemory is the memory for signals that are being processed, in bytes. A signal takes
// signalMemory and signalFactor times its size in the body: its spec, its
// request and its events exist as objects and as text.
const (
	WorkingMemory int64 = 48 << 20
	signalMemory  int64 = 32 << 10
	signalFactor  int64 = 8
)

// item is one signal of a body, and what became of it.
type item struct {
	// Observation is complete during a step. Between steps it has only what
	// identifies the signal, because a body may have ten thousand.
	*signal.Observation

	// all makes the observation at the index at.
	all signal.Observations
	at  int

	trail *auditevents.Signal
	// foreign marks a target in another cluster.
	foreign bool
	// ownerKnown is false if nobody can tell the owner of the target, which may be
	// gone: an open request may then have another fingerprint.
	ownerKnown bool
	// done is set once there is a result or an error.
	done   bool
	result result
	err    error
}

// do runs one step of a signal's processing, which returns a result, true if it
// was the last one, and an error if the signal failed. It turns a panic into an
// error, so that one signal cannot crash the Gateway.
func (i *item) do(ctx context.Context, a *api, step func() (result, bool, error)) {
	if i.done {
		return
	}
	weight := min(WorkingMemory, signalMemory+signalFactor*int64(i.all.Size(i.at)))
	if err := a.working.Acquire(ctx, weight); err != nil {
		i.done, i.err = true, fmt.Errorf("wait for memory to process a signal: %w", err)
		return
	}
	defer a.working.Release(weight)
	defer func() {
		if p := recover(); p != nil {
			a.Log.Error("panic while processing a signal", zap.String("signal", i.Spec.SignalName), zap.Any("panic", p), zap.Stack("stack"))
			i.done, i.err = true, fmt.Errorf("panic while processing signal %s: %v", i.Spec.SignalName, p)
		}
	}()
	i.load()
	defer i.unload()
	r, last, err := step()
	if last || err != nil {
		i.done, i.result, i.err = true, r, err
	}
}

// load completes the observation.
func (i *item) load() {
	o := i.all.At(i.at)
	o.Spec.TargetResource, o.Spec.SignalFingerprint = i.Spec.TargetResource, i.Spec.SignalFingerprint
	*i.Observation = o
}

// unload leaves what identifies the signal.
func (i *item) unload() {
	var rest signal.Observation
	rest.Index, rest.Resolved = i.Index, i.Resolved
	rest.Spec.TargetResource, rest.Spec.SignalFingerprint = i.Spec.TargetResource, i.Spec.SignalFingerprint
	*i.Observation = rest
}

// batch holds the signals of a body, in the order of the body.
type batch []*item

// newBatch returns the signals of a delivery. Those that were settled in an
// earlier attempt are done.
func newBatch(all signal.Observations, d *auditevents.Delivery, before settled) batch {
	b := make(batch, all.Len())
	for at := range b {
		o := &signal.Observation{Index: at}
		b[at] = &item{Observation: o, trail: d.Signal(o), all: all, at: at}
		b[at].result, b[at].done = before[at]
	}
	return b
}

// problems returns the signals that are not done, by fingerprint. Within a
// problem the firing ones come first, so that a signal that resolves finds the
// request that its sibling creates.
func (b batch) problems() [][]*item {
	index := make(map[string]int, len(b))
	var problems [][]*item
	for _, i := range b {
		if i.done {
			continue
		}
		at, known := index[i.Spec.SignalFingerprint]
		if !known {
			at = len(problems)
			index[i.Spec.SignalFingerprint] = at
			problems = append(problems, nil)
		}
		problems[at] = append(problems[at], i)
	}
	for _, items := range problems {
		slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(rank(a), rank(b)) })
	}
	return problems
}

// settled returns the results of the signals that did not fail, by their index.
func (b batch) settled() settled {
	results := make(settled, len(b))
	for at, i := range b {
		if i.done && i.err == nil {
			results[at] = i.result
		}
	}
	return results
}

func rank(i *item) int {
	if i.Resolved {
		return 1
	}
	return 0
}

// results returns the result of each signal, or the first error with the number
// of signals that failed.
func (b batch) results() ([]result, error) {
	results := make([]result, len(b))
	failed, first := 0, error(nil)
	for at, i := range b {
		results[at] = i.result
		results[at].index = i.Index
		if i.err == nil {
			continue
		}
		if failed++; first == nil {
			first = i.err
		}
	}
	if failed > 0 {
		return nil, fmt.Errorf("%d of %d signals failed; the first: %w", failed, len(b), first)
	}
	return results, nil
}

// concurrently calls do for each index below count, from a few goroutines, and
// waits for all of them.
func concurrently(count int, do func(at int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, count) {
		group.Go(func() {
			for at := int(next.Add(1)) - 1; at < count; at = int(next.Add(1)) - 1 {
				do(at)
			}
		})
	}
	group.Wait()
}
