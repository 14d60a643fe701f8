package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/pkg/audit"
)

const (
	// groupEvents are appended with one fsync while the spool is filled.
	groupEvents = 1000
	// recoveries are measured one after the other; their median counts.
	recoveries = 3
	// A store reads back a batch at a time.
	readEvents, readBytes = audit.DefaultBatchEvents, audit.DefaultBatchBytes
)

// measureRecovery fills a spool, and then opens it and reads everything back as
// a store does that starts. The time runs from the opening to the last event.
func measureRecovery(p plan, report *ratio.Report, dir string) error {
	if err := fill(dir, p.recoverEvents); err != nil {
		return fmt.Errorf("fill spool: %w", err)
	}
	var rates []float64
	for range recoveries {
		rate, err := recovery(p.recoverEvents, report, dir)
		if err != nil {
			return err
		}
		rates = append(rates, rate)
	}
	report.AtLeast("recover-events-per-s", ratio.Median(rates), 200_000)
	return nil
}

// recovery opens a spool and reads it once.
func recovery(want int, report *ratio.Report, dir string) (rate float64, err error) {
	idle := liveHeap()
	peak := watchHeap()
	started := time.Now()
	spool, err := openSpool(dir, spoolBytes)
	if err != nil {
		peak.stop()
		return 0, err
	}
	opened := time.Since(started)
	events, err := readAll(spool)
	took := time.Since(started)
	peak.stop()
	if err := errors.Join(err, spool.Close()); err != nil {
		return 0, err
	}
	if events != want {
		return 0, fmt.Errorf("%d of %d events were read back", events, want)
	}
	report.Figuref("%d events read back in %.2f s, of which opening took %.2f s; heap at most %.1f MiB above idle",
		events, took.Seconds(), opened.Seconds(), (peak.bytes-idle)/(1<<20))
	return float64(events) / took.Seconds(), nil
}

// fill appends events as a store accepts them: with ids, times and their places in a row.
func fill(dir string, events int) (err error) {
	spool, err := openSpool(dir, spoolBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	started := time.Now().UTC().Truncate(time.Microsecond)
	group := make([]audit.Event, 0, groupEvents)
	for n := range events {
		e := newEvent(correlationID(n))
		e.ID, err = uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make event id: %w", err)
		}
		e.Version = audit.SchemaVersion
		e.Timestamp = started.Add(time.Duration(n) * time.Microsecond)
		e.Producer = audit.Producer{ID: "bench", Epoch: started.UnixMilli(), Sequence: uint64(n) + 1}
		group = append(group, *e)
		if len(group) == groupEvents || n == events-1 {
			if _, err := spool.Append(group, 0); err != nil {
				return fmt.Errorf("append: %w", err)
			}
			group = group[:0]
		}
	}
	return nil
}

// readAll counts the events of a spool.
func readAll(spool audit.Spool) (events int, err error) {
	for from := spool.State().First; ; {
		kept, damaged, err := spool.Read(from, readEvents, readBytes)
		if err != nil {
			return events, fmt.Errorf("read spool: %w", err)
		}
		if damaged > 0 {
			return events, fmt.Errorf("read spool: %d events are damaged", damaged)
		}
		if len(kept) == 0 {
			return events, nil
		}
		events += len(kept)
		from = kept[len(kept)-1].Position + 1
	}
}
