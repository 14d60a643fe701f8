package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/bench/ratio"
)

const (
	barUnder     = "ingest-under-queries"
	barScanned   = "rows-of-20-clients-vs-one"
	barAnswered  = "first-answer-under-ingest-s"
	barProbes    = "failed-probes-under-ingest"
	leastUnder   = 0.8
	leastScanned = 1.0
	mostAnswer   = 5
	// leastUnderTrial is enough for each client to get answers.
	leastUnderTrial = 6 * time.Second
	probeEvery      = 50 * time.Millisecond
)

// under is ingest beside clients that search for what no index leads to.
type under struct {
	trail      *trail
	trial      time.Duration
	begin, end time.Time // of the trail as it was loaded

	mu      sync.Mutex
	scanned float64       // rows; guarded by mu
	slowest time.Duration // first answer; guarded by mu
	failed  int           // probes; guarded by mu
}

func (b *bench) measureUnder(ctx context.Context, t *trail) error {
	u := &under{trail: t, trial: max(b.trial, leastUnderTrial)}
	// The trail is longer from here on: a later run loads it again.
	if _, err := t.pool.Exec(ctx, `DROP TABLE IF EXISTS `+loaded); err != nil {
		return fmt.Errorf("change the trail: %w", err)
	}
	// What ingest stores is later.
	const span = `SELECT min(event_timestamp), max(event_timestamp) FROM audit_events WHERE correlation_id = ANY ($1)`
	if err := t.pool.QueryRow(ctx, span, []string{"rr-0", fmt.Sprintf("rr-%d", t.events/eventsPerTrail-1)}).Scan(&u.begin, &u.end); err != nil {
		return fmt.Errorf("read the span of the trail: %w", err)
	}
	ingested := func(clients int) ratio.Trial {
		return func() (float64, error) {
			rate, _, err := u.run(ctx, clients)
			return rate, err
		}
	}
	scanned := func(clients int) ratio.Trial {
		return func() (float64, error) {
			_, rate, err := u.run(ctx, clients)
			return rate, err
		}
	}
	if b.bar == "" || b.bar == barUnder {
		c, err := ratio.Compare(b.pairs, ingested(maxQueriers), ingested(0))
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		b.report.Figuref("%s: %.0f events/s, without queries %.0f", barUnder, c.Ours, c.Peer)
		b.report.AtLeast(barUnder, c.Ratio, leastUnder)
	}
	if b.bar == "" || b.bar == barScanned {
		c, err := ratio.Compare(b.pairs, scanned(maxQueriers), scanned(1))
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		b.report.Figuref("%s: %d clients scan %.0f rows/s beside ingest, one client %.0f", barScanned, maxQueriers, c.Ours, c.Peer)
		b.report.AtLeast(barScanned, c.Ratio, leastScanned)
	}
	b.report.AtMost(barAnswered, u.slowest.Seconds(), mostAnswer)
	b.report.AtMost(barProbes, float64(u.failed), 0)
	return nil
}

// run lets clients search while others store events, and returns what both did a second.
func (u *under) run(ctx context.Context, clients int) (ingested, scanned float64, err error) {
	const senders, batch = 4, 1000
	p := newPoster(u.trail.url, senders, batch)
	defer p.close()
	u.mu.Lock()
	u.scanned = 0
	u.mu.Unlock()
	stop := make(chan struct{})
	searching, searchCtx := errgroup.WithContext(ctx)
	for range clients {
		searching.Go(func() error { return u.search(searchCtx, stop) })
	}
	searching.Go(func() error { return u.probe(searchCtx, stop) })
	begin := time.Now()
	ingested, err = together(ctx, u.trial, p.senders(senders, batch))
	close(stop)
	took := time.Since(begin)
	u.mu.Lock()
	scanned = u.scanned / took.Seconds()
	u.mu.Unlock()
	return ingested, scanned, errors.Join(err, searching.Wait())
}

// search goes from the oldest event on, again and again.
func (u *under) search(ctx context.Context, stop <-chan struct{}) error {
	cursor, at := "", u.begin
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		begin := time.Now()
		next, until, err := u.step(ctx, cursor)
		if err != nil {
			return err
		}
		u.mu.Lock()
		if cursor == "" {
			u.slowest = max(u.slowest, time.Since(begin))
		}
		u.scanned += float64(until.Sub(at)) / float64(u.end.Sub(u.begin)) * float64(u.trail.events)
		u.mu.Unlock()
		if cursor, at = next, until; !until.Before(u.end) {
			cursor, at = "", u.begin
		}
	}
}

// step asks for a page, again where the server is busy, and returns how far it came.
func (u *under) step(ctx context.Context, cursor string) (next string, until time.Time, err error) {
	query := url.Values{"event_outcome": {"pending"}, "order": {"asc"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.trail.url+pathOne+"?"+query.Encode(), http.NoBody)
		if err != nil {
			return "", time.Time{}, fmt.Errorf("make a request: %w", err)
		}
		response, err := plain.Do(request)
		if err != nil {
			return "", time.Time{}, fmt.Errorf("query: %w", err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil:
			return "", time.Time{}, fmt.Errorf("query: %w", err)
		case response.StatusCode == http.StatusServiceUnavailable:
			select {
			case <-time.After(time.Second): // as it says
				continue
			case <-ctx.Done():
				return "", time.Time{}, fmt.Errorf("query: %w", ctx.Err())
			}
		case response.StatusCode != http.StatusOK:
			return "", time.Time{}, fmt.Errorf("query: %s: %s", response.Status, body)
		}
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return "", time.Time{}, fmt.Errorf("read a page: %w", err)
		}
		if p.Pagination.ScannedUntil == nil || p.Pagination.ScannedUntil.After(u.end) {
			return p.Pagination.NextCursor, u.end, nil
		}
		return p.Pagination.NextCursor, *p.Pagination.ScannedUntil, nil
	}
}

// probe asks whether the server is ready.
func (u *under) probe(ctx context.Context, stop <-chan struct{}) error {
	ticks := time.NewTicker(probeEvery)
	defer ticks.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil // another client failed
		case <-ticks.C:
		}
		if _, err := get(ctx, u.trail.url+"/health/ready"); err != nil && ctx.Err() == nil {
			u.mu.Lock()
			u.failed++
			u.mu.Unlock()
		}
	}
}
