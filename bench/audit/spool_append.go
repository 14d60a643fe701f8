package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/pkg/audit"
)

// groups are the group commits of a trial, in events each, and the bytes that
// the spool wrote for them.
type groups struct {
	mu     sync.Mutex // guards events
	events []int
	bytes  int64
}

// observe implements audit.Hook.
func (g *groups) observe(point audit.HookPoint, events int) {
	if point != audit.HookSpooled {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, events)
}

func (g *groups) count() int {
	total := 0
	for _, events := range g.events {
		total += events
	}
	return total
}

// measureSpooled records durably, and then writes as many bytes in the same
// groups to a plain file of the same directory, with an fdatasync for each.
func measureSpooled(ctx context.Context, p plan, report *ratio.Report, dir string) error {
	spool, err := openSpool(filepath.Join(dir, "append"), spoolBytes)
	if err != nil {
		return err
	}
	var sink discard
	var newest groups
	return with(ctx, &sink, func(store *audit.Store) error {
		compared, err := ratio.Compare(p.pairs,
			func() (float64, error) { return spooled(ctx, store, p.spoolEvents, &newest) },
			func() (float64, error) { return plain(filepath.Join(dir, "plain"), &newest) })
		if err != nil {
			return fmt.Errorf("compare the spool with append and fdatasync: %w", err)
		}
		report.Figuref("%d producers, spooled: %.0f events/s; append and fdatasync: %.0f events/s; %.1f events and %.0f bytes a group",
			producers, compared.Ours, compared.Peer,
			float64(newest.count())/float64(len(newest.events)), float64(newest.bytes)/float64(len(newest.events)))
		report.AtLeast("spool-vs-fdatasync", compared.Ratio, 0.5)
		return nil
	}, audit.WithSpool(spool), audit.WithDurability(audit.Spooled), audit.WithHook(newest.observe))
}

// spooled is the rate at which the producers' events become durable. What the
// sender does meanwhile is part of it.
func spooled(ctx context.Context, store *audit.Store, events int, newest *groups) (float64, error) {
	newest.events = newest.events[:0]
	before, err := written()
	if err != nil {
		return 0, err
	}
	took, err := timeBurst(ctx, producers, events, store.Record, func(context.Context) error { return nil })
	if err != nil {
		return 0, err
	}
	after, err := written()
	if err != nil {
		return 0, err
	}
	newest.bytes = after - before
	if kept := newest.count(); kept != events {
		return 0, fmt.Errorf("%d of %d events were spooled", kept, events)
	}
	return float64(events) / took.Seconds(), flush(ctx, store)
}

// plain is the rate of append and fdatasync for the same groups.
func plain(path string, same *groups) (rate float64, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("make plain file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()

	perEvent := int(same.bytes) / same.count()
	block := make([]byte, perEvent*slices.Max(same.events))
	for i := range block {
		block[i] = byte(i)
	}
	started := time.Now()
	for _, events := range same.events {
		if _, err := file.Write(block[:perEvent*events]); err != nil {
			return 0, fmt.Errorf("append to plain file: %w", err)
		}
		if err := syncData(file); err != nil {
			return 0, fmt.Errorf("sync plain file: %w", err)
		}
	}
	return float64(same.count()) / time.Since(started).Seconds(), nil
}
