package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/pkg/audit"
)

const (
	// producers record at the same time where a bar speaks of many.
	producers = 12
	// burstEvents are recorded between two flushes: fewer than a store may owe,
	// so that nobody waits for room and the peer's queue of that size drops nothing.
	burstEvents = 24_000
	// bursts make a trial: long enough for the collector to find its pace, short enough
	// for a pair to see the same load of the machine.
	bursts = 3
)

func measureRecord(ctx context.Context, p plan, report *ratio.Report) error {
	var sink discard
	return with(ctx, &sink, func(store *audit.Store) error {
		for _, measure := range []func(context.Context, plan, *ratio.Report, *audit.Store) error{
			measureAllocs, measureBesidePeer, measureManyBesideOne,
		} {
			if err := measure(ctx, p, report, store); err != nil {
				return err
			}
		}
		if accepted, err := store.Flush(ctx); err != nil || accepted.Barrier != uint64(sink.events.Load()) { //nolint:gosec // counts up from 0
			return errors.Join(err, fmt.Errorf("the sink has %d of %d events", sink.events.Load(), accepted.Barrier))
		}
		return nil
	})
}

// measureAllocs counts those of the whole process: the sender's share is in it.
func measureAllocs(ctx context.Context, p plan, report *ratio.Report, store *audit.Store) error {
	e := newEvent(correlationID(0))
	var total float64
	chunks := p.allocRuns / burstEvents
	for chunk := -1; chunk < chunks; chunk++ {
		allocated, err := mallocs(func() error { return recordMany(ctx, store, e, burstEvents) })
		if err != nil {
			return err
		}
		if err := flush(ctx, store); err != nil {
			return err
		}
		if chunk >= 0 { // the one before warms the store up
			total += allocated
		}
	}
	report.AtMost("record-allocs", total/float64(chunks*burstEvents), 2)
	return nil
}

// mallocs counts the allocations of the process while f runs.
func mallocs(f func() error) (float64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), err
}

func measureBesidePeer(ctx context.Context, p plan, report *ratio.Report, store *audit.Store) error {
	otel := newPeer(audit.DefaultMaxEvents, audit.DefaultBatchEvents)
	for _, n := range []int{1, producers} {
		compared, err := ratio.Compare(p.pairs,
			producing(ctx, n, store.Record, flushOf(store)),
			producing(ctx, n, otel.emit, otel.flush))
		if err != nil {
			return errors.Join(err, otel.close(ctx))
		}
		report.Figuref("%d producers: %.0f events/s, OpenTelemetry %.0f records/s, ratio %.2f", n, compared.Ours, compared.Peer, compared.Ratio)
		if n == producers {
			report.AtLeast("record-vs-otel", compared.Ratio, 1)
		}
	}
	return otel.close(ctx)
}

func measureManyBesideOne(ctx context.Context, p plan, report *ratio.Report, store *audit.Store) error {
	defer runtime.GOMAXPROCS(cores)
	trial := func(n, procs int) ratio.Trial {
		produce := producing(ctx, n, store.Record, flushOf(store))
		return func() (float64, error) {
			runtime.GOMAXPROCS(procs)
			return produce()
		}
	}
	compared, err := ratio.Compare(p.pairs, trial(producers, cores), trial(1, 1))
	if err != nil {
		return fmt.Errorf("compare many producers with one: %w", err)
	}
	report.Figuref("%d producers on %d cores: %.0f events/s, 1 producer on 1 core: %.0f events/s", producers, cores, compared.Ours, compared.Peer)
	report.AtLeast("record-12-vs-1", compared.Ratio, 1)
	return nil
}

func flushOf(store *audit.Store) func(context.Context) error {
	return func(ctx context.Context) error { return flush(ctx, store) }
}

// producing is a trial of n producers that record together.
func producing(ctx context.Context, n int, record recordFunc, settle func(context.Context) error) ratio.Trial {
	return func() (float64, error) {
		var took time.Duration
		for range bursts {
			burst, err := timeBurst(ctx, n, burstEvents, record, settle)
			if err != nil {
				return 0, err
			}
			took += burst
		}
		return bursts * burstEvents / took.Seconds(), nil
	}
}

// recordFunc is Store.Record, or what a peer has in its place.
type recordFunc func(context.Context, *audit.Event) error

// timeBurst lets n producers record events together, and measures from the
// first until all of them are settled.
func timeBurst(ctx context.Context, n, events int, record recordFunc, settle func(context.Context) error) (time.Duration, error) {
	var all sync.WaitGroup
	errs := make([]error, n+1) // the last one is of settling
	begin := make(chan struct{})
	for i := range n {
		e := newEvent(correlationID(i))
		all.Go(func() {
			<-begin
			for range events / n {
				if errs[i] = record(ctx, e); errs[i] != nil {
					return
				}
			}
		})
	}
	started := time.Now()
	close(begin)
	all.Wait()
	errs[n] = settle(ctx)
	return time.Since(started), errors.Join(errs...)
}
