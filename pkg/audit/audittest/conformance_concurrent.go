package audittest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"kubernaut.ai/pkg/audit"
)

// How many goroutines write at the same time in a check, and how often.
const (
	concurrentWriters = 8
	writesOfEach      = 2
	racers            = 3
	races             = 8
)

func checkContext(tb testing.TB, c *conformance) {
	tb.Helper()
	batch := c.batch(1)
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	if _, err := c.Sink.Write(ctx, batch); err == nil {
		tb.Error("write under an ended context is nil")
	} else if errors.Is(err, audit.ErrRefused) {
		tb.Errorf("write under an ended context: %v, which would quarantine the events", err)
	}
	c.mustWrite(tb, batch)
	c.assertStored(tb, batch)
}

// checkContextEnds ends the context at each of the places in turn where the
// sink heeds it, until the sink gets through.
func checkContextEnds(tb testing.TB, c *conformance) {
	tb.Helper()
	const events, mostPlaces = 10, 40
	for place := 1; place <= mostPlaces; place++ {
		trail := c.trail(place)
		batch := trail.batch(events)
		ctx := endAtLook(tb.Context(), place)
		_, err := trail.Sink.Write(ctx, batch)
		if errors.Is(err, audit.ErrRefused) {
			tb.Errorf("context ended at place %d: %v, which would quarantine the events", place, err)
		}
		stored, readErr := trail.Stored(tb.Context(), trail.correlationID)
		switch n := len(stored); {
		case readErr != nil:
			tb.Fatalf("read what is stored: %v", readErr)
		case err == nil && n != events:
			tb.Errorf("context ended at place %d: write is nil, but %d events of %d are stored", place, n, events)
		case n != 0 && n != events:
			tb.Errorf("context ended at place %d (%v): %d events of %d are stored, want all or nothing", place, err, n, events)
		}
		trail.mustWrite(tb, batch)
		trail.assertStored(tb, batch)
		if ctx.Context.Err() == nil {
			ctx.cancel()
			return
		}
	}
}

// trail is the same subject with another correlation id.
func (c *conformance) trail(n int) *conformance {
	return &conformance{Subject: c.Subject, correlationID: fmt.Sprintf("%s-%d", c.correlationID, n)}
}

// endingContext ends when it is looked at for the nth time.
type endingContext struct {
	context.Context //nolint:containedctx // it is a context

	cancel context.CancelFunc
	left   atomic.Int64
}

func endAtLook(parent context.Context, n int) *endingContext {
	ctx, cancel := context.WithCancel(parent)
	c := &endingContext{Context: ctx, cancel: cancel}
	c.left.Store(int64(n))
	return c
}

// Done counts as a look.
func (c *endingContext) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

// Err counts as a look.
func (c *endingContext) Err() error {
	c.look()
	return c.Context.Err() //nolint:wrapcheck // it is a context
}

func (c *endingContext) look() {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
}

// atOnce runs a function in n goroutines that begin together.
func atOnce(n int, f func(i int)) {
	var running sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		running.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	running.Wait()
}

// checkConcurrent writes batches of one correlation id, each of them twice.
func checkConcurrent(tb testing.TB, c *conformance) {
	tb.Helper()
	const each = 10
	all := c.batch(concurrentWriters * each)
	atOnce(concurrentWriters, func(i int) {
		own := all[i*each : (i+1)*each]
		for range writesOfEach {
			if _, err := c.Sink.Write(tb.Context(), own); err != nil {
				tb.Errorf("write: %v", err)
			}
		}
	})
	c.assertStored(tb, all)
}

// checkConcurrentTrails writes several correlation ids at the same time, and
// reads each as soon as it is acknowledged.
func checkConcurrentTrails(tb testing.TB, c *conformance) {
	tb.Helper()
	const each = 10
	atOnce(concurrentWriters, func(i int) {
		trail := c.trail(i)
		all := trail.batch(writesOfEach * each)
		for n := range writesOfEach {
			ack, err := trail.Sink.Write(tb.Context(), all[n*each:(n+1)*each])
			if err != nil || ack.Created != each || ack.Duplicates != 0 {
				tb.Errorf("write %d of %s: %+v, %v, want %d created", n, trail.correlationID, ack, err, each)
			}
			if err := trail.stored(tb.Context(), all[:(n+1)*each]); err != nil {
				tb.Errorf("after write %d of %s: %v", n, trail.correlationID, err)
			}
		}
	})
}

// checkRace writes the same batch several times at the same time, as when the
// answer to a write got lost and the write itself still runs.
func checkRace(tb testing.TB, c *conformance) {
	tb.Helper()
	const events = 5
	for n := range races {
		trail := c.trail(n)
		batch := trail.batch(events)
		var created, duplicates atomic.Int64
		atOnce(racers, func(int) {
			ack, err := trail.Sink.Write(tb.Context(), cloneAll(batch))
			if err != nil {
				tb.Errorf("write: %v", err)
			}
			created.Add(int64(ack.Created))
			duplicates.Add(int64(ack.Duplicates))
		})
		if created.Load() != events || duplicates.Load() != (racers-1)*events {
			tb.Errorf("%d writes of the same %d events created %d and had %d duplicates",
				racers, events, created.Load(), duplicates.Load())
		}
		trail.assertStored(tb, batch)
	}
}
