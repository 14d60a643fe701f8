package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/bench/ratio"
)

// turn does one client's next piece of work and returns how many events that were.
type turn func(ctx context.Context) (events int, err error)

// together lets the clients work side by side for a while, and returns how many events they did a second.
func together(ctx context.Context, trial time.Duration, clients []turn) (rate float64, err error) {
	begin := time.Now()
	counts := make([]int, len(clients))
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		group.Go(func() error {
			for time.Since(begin) < trial {
				n, err := client(ctx)
				if errors.Is(err, errEnough) {
					return nil
				}
				if err != nil {
					return err
				}
				counts[i] += n
			}
			return nil
		})
	}
	err = group.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds(), err //nolint:wrapcheck // of the client
}

// errEnough ends a client that has no work left.
var errEnough = errors.New("no work is left")

// trialOf is a trial of clients.
func (b *bench) trialOf(ctx context.Context, clients []turn) ratio.Trial {
	return func() (float64, error) { return together(ctx, b.trial, clients) }
}

// poster sends bodies over connections that stay open.
type poster struct {
	client *http.Client
	url    string
	media  string
	status int
}

const (
	pathBatch = "/api/v1/audit/events/batch"
	pathOne   = "/api/v1/audit/events"
)

func newPoster(url string, connections, events int) *poster {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}
	p := &poster{client: &http.Client{Transport: transport}, url: url + pathBatch, media: "application/x-ndjson", status: http.StatusCreated}
	if events == 1 {
		p.url, p.media = url+pathOne, "application/json"
	}
	return p
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// post sends a body and expects that its events are stored.
func (p *poster) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", p.media)
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("send a batch: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != p.status {
		const most = 1 << 10
		text, _ := io.ReadAll(io.LimitReader(response.Body, most))
		return fmt.Errorf("send a batch: %s: %s", response.Status, text)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// senders are clients that send new events.
func (p *poster) senders(clients, events int) []turn {
	turns := make([]turn, clients)
	for i := range turns {
		b := newBatch(events)
		turns[i] = func(ctx context.Context) (int, error) {
			b.renew(time.Now())
			return events, p.post(ctx, b.body)
		}
	}
	return turns
}
