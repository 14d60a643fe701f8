package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/pkg/audit"
)

const (
	// oneEventFlushes are measured one after the other.
	oneEventFlushes = 10_000
	// crowd flushes at the same time.
	crowd = 1000
	// crowdEvents are pending when the crowd comes: one batch.
	crowdEvents = 100
)

func measureFlush(ctx context.Context, p plan, report *ratio.Report) error {
	if err := measureIdleFlush(ctx, p, report); err != nil {
		return err
	}
	if err := measureFlushOfOne(ctx, report); err != nil {
		return err
	}
	return measureCrowds(ctx, p, report)
}

func measureIdleFlush(ctx context.Context, p plan, report *ratio.Report) error {
	var sink discard
	return with(ctx, &sink, func(store *audit.Store) error {
		if err := errors.Join(recordMany(ctx, store, newEvent(correlationID(0)), crowdEvents), flush(ctx, store)); err != nil {
			return err
		}
		writes := sink.writes.Load()
		started := time.Now()
		allocated, err := mallocs(func() error {
			for range p.allocRuns {
				if err := flush(ctx, store); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if made := sink.writes.Load() - writes; made != 0 {
			return fmt.Errorf("%d flushes with nothing pending made %d requests", p.allocRuns, made)
		}
		runs := float64(p.allocRuns)
		report.Figuref("flush with nothing pending: %.0f ns, no request", float64(time.Since(started).Nanoseconds())/runs)
		report.AtMost("flush-idle-allocs", allocated/runs, 2)
		return nil
	})
}

// timedSink measures the time inside the sink. The store calls it once at a
// time here, and a flush orders that before the reading.
type timedSink struct {
	discard

	inside time.Duration
}

// Write implements audit.Sink.
func (t *timedSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	started := time.Now()
	ack, err := t.discard.Write(ctx, batch)
	t.inside = time.Since(started)
	return ack, err
}

func measureFlushOfOne(ctx context.Context, report *ratio.Report) error {
	var sink timedSink
	return with(ctx, &sink, func(store *audit.Store) error {
		e := newEvent(correlationID(0))
		overheads := make([]float64, 0, oneEventFlushes)
		for range oneEventFlushes {
			if err := recordMany(ctx, store, e, 1); err != nil {
				return err
			}
			started := time.Now()
			if err := flush(ctx, store); err != nil {
				return err
			}
			overheads = append(overheads, float64((time.Since(started)-sink.inside).Nanoseconds())/1000)
		}
		median := ratio.Median(overheads) // sorts them
		report.Figuref("flush of one event, less the sink: median %.1f us, 99th percentile %.1f us", median, overheads[len(overheads)*99/100])
		report.AtMost("flush-one-overhead-us", median, 100)
		return nil
	})
}

// crowdedSink answers when the whole crowd has begun to flush.
type crowdedSink struct {
	discard

	begun sync.WaitGroup
}

// Write implements audit.Sink.
func (c *crowdedSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	c.begun.Wait()
	return c.discard.Write(ctx, batch)
}

func measureCrowds(ctx context.Context, p plan, report *ratio.Report) error {
	var most int64
	for range p.crowds {
		writes, err := flushTogether(ctx)
		if err != nil {
			return err
		}
		most = max(most, writes)
	}
	report.Figuref("%d crowds of %d flushes of one batch of %d events: at most %d writes", p.crowds, crowd, crowdEvents, most)
	report.AtMost("flush-1000-rounds", float64(most), 3)
	return nil
}

// flushTogether counts the writes of a crowd's flushes. The interval is too
// long to send the batch by itself.
func flushTogether(ctx context.Context) (writes int64, err error) {
	var sink crowdedSink
	sink.begun.Add(crowd)
	err = with(ctx, &sink, func(store *audit.Store) error {
		if err := recordMany(ctx, store, newEvent(correlationID(0)), crowdEvents); err != nil {
			return err
		}
		var all sync.WaitGroup
		errs := make([]error, crowd)
		for i := range crowd {
			all.Go(func() {
				sink.begun.Done()
				errs[i] = flush(ctx, store)
			})
		}
		all.Wait()
		return errors.Join(errs...)
	}, audit.WithInterval(time.Hour))
	return sink.writes.Load(), err
}
