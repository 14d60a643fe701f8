package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubernaut.ai/bench/ratio"
)

// The bars of queries.
const (
	mostVsEcho, mostFlat, mostOfPages = 1.3, 1.3, 1.3
	mostFirstAnswer                   = 250
	mostVsScan                        = 1.5
	mostSteps                         = 200
)

const (
	barEcho, barFlat   = "query-correlation-vs-echo", "query-flat"
	barPages           = "page-1000th-vs-first"
	barFirst, barSteps = "query-miss-first-answer-ms", "query-miss-steps"
)

// search finds nothing.
type search struct {
	name      string
	filter    url.Values
	condition string
}

var misses = []search{
	{"miss", url.Values{"severity": {"none"}}, `severity = 'none'`},
	{"nested-miss", url.Values{"detail_key": {"$.target_resource.kind"}, "detail_value": {"none"}}, `event_data #>> '{target_resource,kind}' = 'none'`},
	// No index serves an outcome: the walk looks at every event.
	{"walk", url.Values{"event_outcome": {"pending"}}, `event_outcome = 'pending'`},
}

func (b *bench) measureQuery(ctx context.Context) (err error) {
	large, err := b.openTrail(ctx, b.queried, b.profiles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, large.close(ctx)) }()
	small, err := b.openTrail(ctx, b.queried/100, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.close(ctx)) }()
	b.report.Figuref("%d events, beside %d", large.events, small.events)
	for _, part := range []struct {
		bars    []string
		measure func() error
	}{
		{[]string{barEcho, barFlat}, func() error { return b.measureCorrelation(ctx, large, small) }},
		{[]string{barPages}, func() error { return b.measurePages(ctx, large) }},
		{[]string{barFirst, barSteps}, func() error { return b.measureMisses(ctx, large) }},
		{[]string{barUnder, barScanned}, func() error { return b.measureUnder(ctx, large) }},
	} {
		if b.bar != "" && !slices.Contains(part.bars, b.bar) {
			continue
		}
		if err := part.measure(); err != nil {
			return err
		}
	}
	return nil
}

// trail is a server with a database of events.
type trail struct {
	*server

	bench    *bench
	database string
	events   int
	pool     *pgxpool.Pool
}

func (b *bench) openTrail(ctx context.Context, events int, profiles string) (*trail, error) {
	t := &trail{bench: b, events: events}
	var err error
	if t.database, err = b.loadTrail(ctx, events); err != nil {
		return nil, err
	}
	if t.server, err = startServer(ctx, t.database, profiles); err != nil {
		return nil, err
	}
	if t.pool, err = pgxpool.New(ctx, t.database); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	// A trail that was loaded earlier, or is larger than the last one, may have left the system's cache: the bars compare
	// work, not disks.
	const read = `SELECT sum(pg_prewarm(oid, 'read')) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`
	for _, statement := range []string{`CREATE EXTENSION IF NOT EXISTS pg_prewarm`, read} {
		if _, err := t.pool.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("read the trail into the system's cache: %w", err)
		}
	}
	return t, nil
}

func (t *trail) close(ctx context.Context) error {
	t.pool.Close()
	if t.bench.data != "" {
		return t.stop()
	}
	return errors.Join(t.stop(), t.bench.dropDatabase(ctx, t.database))
}

func (t *trail) someID() string { return fmt.Sprintf("rr-%d", rand.IntN(t.events/eventsPerTrail)) } //nolint:gosec // no secret

// maxQueriers is the most clients that query at the same time.
const maxQueriers = 20

// plain is a client that asks for no compression: both sides of a comparison send the same bytes.
var plain = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxQueriers, DisableCompression: true}}

// get reads an answer.
func get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody) //nolint:gosec // the address of our server or its peer
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	response, err := plain.Do(request) //nolint:gosec // likewise
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("query: %s: %s", response.Status, body)
	}
	return body, err
}

func (t *trail) byCorrelation(base string) turn {
	return func(ctx context.Context) (int, error) {
		_, err := get(ctx, base+pathOne+"?correlation_id="+t.someID())
		return 1, err
	}
}

func (b *bench) measureCorrelation(ctx context.Context, large, small *trail) (err error) {
	bare, err := startPeer(ctx, large)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	ours := b.trialOf(ctx, []turn{large.byCorrelation(large.url)})
	for _, one := range []struct {
		name string
		peer turn
		most float64
	}{
		{barEcho, large.byCorrelation(bare.url), mostVsEcho},
		{barFlat, small.byCorrelation(small.url), mostFlat},
	} {
		if b.bar != "" && b.bar != one.name {
			continue
		}
		c, err := ratio.Compare(b.pairs, ours, b.trialOf(ctx, []turn{one.peer}))
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		b.report.Figuref("%s: %.0f queries/s, the peer %.0f", one.name, c.Ours, c.Peer)
		b.report.AtMost(one.name, 1/c.Ratio, one.most)
	}
	return nil
}

// page is what the bench reads of an answer.
type page struct {
	Pagination struct {
		NextCursor   string     `json:"next_cursor"`
		ScannedUntil *time.Time `json:"scanned_until"`
	} `json:"pagination"`
}

// step asks for a page and tells how long it took.
func (t *trail) step(ctx context.Context, filter url.Values, cursor string) (next string, took time.Duration, err error) {
	query := url.Values(http.Header(filter).Clone())
	if query == nil {
		query = url.Values{}
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	begin := time.Now()
	body, err := get(ctx, t.url+pathOne+"?"+query.Encode())
	took = time.Since(begin)
	if err != nil {
		return "", 0, err
	}
	var p page
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&p); err != nil {
		return "", 0, fmt.Errorf("read a page: %w", err)
	}
	return p.Pagination.NextCursor, took, nil
}

// measurePages compares the pages around the 1000th with the first ones.
func (b *bench) measurePages(ctx context.Context, t *trail) error {
	const last, window = 1000, 50
	var took []float64
	for cursor, n := "", 0; n < last; n++ {
		next, d, err := t.step(ctx, nil, cursor)
		if err != nil {
			return err
		}
		if cursor = next; cursor == "" && n < last-1 {
			return fmt.Errorf("the trail ends after %d pages", n+1)
		}
		took = append(took, d.Seconds())
	}
	first, end := ratio.Median(slices.Clone(took[1:window+1])), ratio.Median(slices.Clone(took[last-window:]))
	b.report.Figuref("a page: %.2f ms, around the 1000th %.2f ms", first*1000, end*1000) //nolint:mnd // milliseconds
	b.report.AtMost(barPages, end/first, mostOfPages)
	return nil
}

func (b *bench) measureMisses(ctx context.Context, t *trail) error {
	var firsts []float64
	most := 0
	for _, miss := range misses {
		for range b.firsts {
			_, d, err := t.step(ctx, miss.filter, "")
			if err != nil {
				return err
			}
			firsts = append(firsts, float64(d.Microseconds())/1000) //nolint:mnd // milliseconds
		}
		steps := 0
		ours := func() (float64, error) {
			begin := time.Now()
			steps = 0
			for cursor := ""; steps == 0 || cursor != ""; steps++ {
				next, _, err := t.step(ctx, miss.filter, cursor)
				if err != nil {
					return 0, err
				}
				cursor = next
			}
			return 1 / time.Since(begin).Seconds(), nil
		}
		c, err := ratio.Compare(b.pairs, ours, t.scan(ctx, miss.condition))
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		most = max(most, steps)
		b.report.Figuref("query-%s: %d steps in %.2f s, a sequential scan %.2f s: %.2f times", miss.name, steps, 1/c.Ours, 1/c.Peer, 1/c.Ratio)
		if miss.name != "walk" {
			b.report.AtMost("query-"+miss.name+"-vs-scan", 1/c.Ratio, mostVsScan)
		}
	}
	slices.Sort(firsts)
	const percentile = 99
	b.report.AtMost(barFirst, firsts[(len(firsts)-1)*percentile/100], mostFirstAnswer)
	b.report.AtMost(barSteps, float64(most), mostSteps)
	return nil
}

// scan is one sequential scan in SQL.
func (t *trail) scan(ctx context.Context, condition string) ratio.Trial {
	return func() (float64, error) {
		begin := time.Now()
		err := pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
			for _, setting := range []string{"max_parallel_workers_per_gather = 0", "jit = off", "enable_indexscan = off", "enable_bitmapscan = off", "enable_indexonlyscan = off"} {
				if _, err := tx.Exec(ctx, "SET LOCAL "+setting); err != nil {
					return err //nolint:wrapcheck // wrapped below
				}
			}
			var found int
			return tx.QueryRow(ctx, `SELECT count(*) FROM audit_events WHERE `+condition).Scan(&found)
		})
		if err != nil {
			return 0, fmt.Errorf("scan: %w", err)
		}
		return 1 / time.Since(begin).Seconds(), nil
	}
}
