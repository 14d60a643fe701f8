package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kubernaut.ai/bench/ratio"
)

const (
	replayClients = 4
	replayEvents  = 1000
	// replayed is how many batches each client has stored before.
	replayed = 40
	// leastReplay is the bar of both kinds of replays.
	leastReplay = 0.5
)

// measureReplay compares batches that were stored before, completely or one event of them, with new
// ones. Each trial has a server that was just started and has seen none of them.
func (b *bench) measureReplay(ctx context.Context) (err error) {
	url, err := b.newDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.dropDatabase(ctx, url)) }()
	stored, err := b.storeBefore(ctx, url)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		name string
		turn func(p *poster, own []*batch) turn
	}{
		{"replay-vs-new", replayAll},
		{"replay-one-vs-new", replayOne},
	} {
		if b.bar != "" && b.bar != r.name {
			continue
		}
		ours := b.onFreshServer(ctx, url, func(p *poster) []turn {
			turns := make([]turn, replayClients)
			for i := range turns {
				turns[i] = r.turn(p, stored[i])
			}
			return turns
		})
		peer := b.onFreshServer(ctx, url, func(p *poster) []turn { return p.senders(replayClients, replayEvents) })
		c, err := ratio.Compare(b.pairs, ours, peer)
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		b.figure(c, "new")
		b.report.AtLeast(r.name, c.Ratio, leastReplay)
	}
	return nil
}

// storeBefore stores the batches that are replayed.
func (b *bench) storeBefore(ctx context.Context, url string) (stored [][]*batch, err error) {
	s, err := startServer(ctx, url, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p := newPoster(s.url, replayClients, replayEvents)
	defer p.close()
	for range replayClients {
		own := make([]*batch, replayed)
		for n := range own {
			own[n] = newBatch(replayEvents)
			own[n].renew(time.Now())
			if err := p.post(ctx, own[n].body); err != nil {
				return nil, err
			}
		}
		stored = append(stored, own)
	}
	return stored, nil
}

// onFreshServer is a trial on a server that starts before it.
func (b *bench) onFreshServer(ctx context.Context, url string, clients func(*poster) []turn) ratio.Trial {
	return func() (rate float64, err error) {
		s, err := startServer(ctx, url, b.profiles)
		if err != nil {
			return 0, fmt.Errorf("fresh server: %w", err)
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		p := newPoster(s.url, replayClients, replayEvents)
		defer p.close()
		return together(ctx, b.trial, clients(p))
	}
}

// replayAll sends a client's batches as they were sent before, each once.
func replayAll(p *poster, own []*batch) turn {
	next := 0
	return func(ctx context.Context) (int, error) {
		if next == len(own) {
			return 0, errEnough
		}
		next++
		return replayEvents, p.post(ctx, own[next-1].body)
	}
}

// replayOne sends new batches, each with one event that was stored before.
func replayOne(p *poster, own []*batch) turn {
	next := 0
	return func(ctx context.Context) (int, error) {
		b := own[next%len(own)].clone()
		next++
		b.renewOthers(time.Now())
		return replayEvents, p.post(ctx, b.body)
	}
}
