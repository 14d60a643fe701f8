package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// shards is how many databases the trail is divided into, each with its DataStorage.
const shards = 4

// measureShards prints what queries cost on one database, and on several that
// have the same events together: of one shard where its key is known, of all
// where it is not.
func (b *bench) measureShards(ctx context.Context) (err error) {
	one, err := b.openTrail(ctx, b.queried, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.close(ctx)) }()
	var parts []*trail
	for shard := range shards {
		// A trail is kept by its number of events.
		part, err := b.openTrail(ctx, b.queried/shards+shard*eventsPerTrail, "")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, part.close(ctx)) }()
		parts = append(parts, part)
	}
	b.report.Figuref("%d events in one database, and in %d", b.queried, shards)
	for _, query := range []struct {
		name, filters string
		correlated    bool
	}{
		{"events of one correlation id", "correlation_id=", true},
		{"newest 50 events", "limit=50", false},
		{"newest 50 events of one resource", "limit=50&resource_id=checkout-7", false},
		{"first step of a search without a match", "event_outcome=pending", false},
	} {
		for _, side := range []struct {
			name    string
			servers []*trail
		}{{"one database", []*trail{one}}, {"one shard", parts[:1]}, {"all shards", parts}} {
			turns := make([]turn, shardClients)
			for i := range turns {
				turns[i] = func(ctx context.Context) (int, error) {
					filters := query.filters
					if query.correlated {
						filters += side.servers[0].someID()
					}
					return 1, merged(ctx, side.servers, pathOne+"?"+filters)
				}
			}
			alone, err := together(ctx, b.trial, turns[:1])
			if err != nil {
				return err
			}
			crowded, err := together(ctx, b.trial, turns)
			if err != nil {
				return err
			}
			b.report.Figuref("%s, %s: %.1f ms, %.0f a second", query.name, side.name, 1000/alone, crowded)
		}
	}
	return nil
}

// shardClients keep all cores busy.
const shardClients = 8

// merged asks all servers at once, and merges their answers, the newest first.
func merged(ctx context.Context, servers []*trail, path string) error {
	type stored struct {
		EventTimestamp time.Time `json:"event_timestamp"`
	}
	pages := make([]struct {
		Data []stored `json:"data"`
	}, len(servers))
	group, ctx := errgroup.WithContext(ctx)
	for i, server := range servers {
		group.Go(func() error {
			body, err := get(ctx, server.url+path)
			if err != nil || len(servers) == 1 {
				return err
			}
			if err := json.Unmarshal(body, &pages[i]); err != nil {
				return fmt.Errorf("read a page: %w", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err //nolint:wrapcheck // of one query
	}
	var all []stored
	for _, page := range pages {
		all = append(all, page.Data...)
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(b.EventTimestamp.UnixNano(), a.EventTimestamp.UnixNano()) })
	return nil
}
