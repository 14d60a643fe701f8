package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kubernaut.ai/bench/ratio"
)

// load is how many clients send how many events in one request.
type load struct {
	name            string
	clients, events int
	least           float64
}

var loads = []load{
	{"ingest-4x1000-vs-copy", 4, 1000, 0.70},
	{"ingest-12x100-vs-copy", 12, 100, 0.60},
	{"ingest-1x1000-vs-copy", 1, 1000, 0.60},
	{"ingest-12x1-vs-insert", 12, 1, 1.0},
	{"ingest-64x1-vs-insert", 64, 1, 1.3},
}

// leastOfMinimum is the part of the minimal server's ratio that DataStorage has to reach.
const leastOfMinimum = 0.65

// maxMemory is the most memory that the server may need under these loads, in MiB.
const maxMemory = 256

func (b *bench) measureIngest(ctx context.Context) (err error) {
	peak := 0.0
	for _, l := range loads {
		if b.bar != "" && b.bar != l.name {
			continue
		}
		reached, err := b.measureLoad(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		peak = max(peak, reached)
	}
	b.report.AtMost("server-rss-mib", peak, maxMemory)
	return nil
}

// measureLoad compares one load, and returns the server's peak memory.
func (b *bench) measureLoad(ctx context.Context, l load) (peak float64, err error) {
	url, err := b.newDatabase(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.dropDatabase(ctx, url)) }()
	s, err := startServer(ctx, url, b.profiles)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p := newPoster(s.url, l.clients, l.events)
	defer p.close()
	senders := p.senders(l.clients, l.events)
	if _, err := senders[0](ctx); err != nil { // a row for the baseline
		return 0, err
	}
	bare, err := newBaseline(ctx, url, l.clients, l.events)
	defer bare.close(ctx)
	if err != nil {
		return 0, err
	}
	m, err := newMeter(ctx, url, s)
	if err != nil {
		return 0, err
	}
	defer m.close(ctx)
	var spent, spentBare cost
	ours := m.measure(ctx, &spent, b.trialOf(ctx, senders))
	peer := m.measure(ctx, &spentBare, b.trialOf(ctx, bare.turns))
	c, err := ratio.Compare(b.pairs, ours, peer)
	if err != nil {
		return 0, err //nolint:wrapcheck // says what failed
	}
	b.figure(c, "PostgreSQL")
	b.report.Figuref("DataStorage: %s", &spent)
	b.report.Figuref("PostgreSQL: %s", &spentBare)
	if err := b.measureHTTP(ctx, url, l); err != nil {
		return 0, err
	}
	if l.events > 1 {
		b.report.AtLeast(l.name, c.Ratio, l.least)
		return s.peakMiB()
	}
	least, err := b.measureMinimum(ctx, url, l, peer)
	if err != nil {
		return 0, err
	}
	b.report.Excused(l.name, c.Ratio, l.least, fmt.Sprintf("the minimal server came to %.2f, see docs/decisions/0045", least))
	b.report.AtLeast(strings.TrimSuffix(l.name, "insert")+"minimum", c.Ratio/least, leastOfMinimum)
	return s.peakMiB()
}

// measureMinimum returns the ratio of a server that does nothing but what single events need. DataStorage does more.
func (b *bench) measureMinimum(ctx context.Context, url string, l load, peer ratio.Trial) (least float64, err error) {
	s, err := startProcess(ctx, url, "", minimumVariable+"="+strconv.Itoa(l.clients))
	if err != nil {
		return 0, err
	}
	err = b.sendTo(ctx, s, url, l, func(m *meter, trial ratio.Trial) error {
		var spent cost
		c, err := ratio.Compare(b.pairs, m.measure(ctx, &spent, trial), peer)
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		least = c.Ratio
		b.report.Figuref("minimal server: %.0f events/s, PostgreSQL %.0f; the ratio is %.2f, and was %.2f to %.2f", c.Ours, c.Peer, c.Ratio, c.Lowest, c.Highest)
		b.report.Figuref("minimal server: %s", &spent)
		return nil
	})
	return least, err
}

// measureHTTP prints what the same requests cost a server that only reads them: no ingest over HTTP costs less.
func (b *bench) measureHTTP(ctx context.Context, url string, l load) error {
	s, err := startServer(ctx, echoOnly, "")
	if err != nil {
		return err
	}
	return b.sendTo(ctx, s, url, l, func(m *meter, trial ratio.Trial) error {
		var spent cost
		if _, err := m.measure(ctx, &spent, trial)(); err != nil {
			return err
		}
		b.report.Figuref("HTTP alone: %s", &spent)
		return nil
	})
}

// sendTo lets a load's clients send to a server while measure runs, and stops it.
func (b *bench) sendTo(ctx context.Context, s *server, url string, l load, measure func(*meter, ratio.Trial) error) (err error) {
	defer func() { err = errors.Join(err, s.stop()) }()
	m, err := newMeter(ctx, url, s)
	if err != nil {
		return err
	}
	defer m.close(ctx)
	p := newPoster(s.url, l.clients, l.events)
	defer p.close()
	return measure(m, b.trialOf(ctx, p.senders(l.clients, l.events)))
}

// figure prints the rates of a comparison.
func (b *bench) figure(c ratio.Comparison, peer string) {
	b.report.Figuref("%.0f events/s, %s %.0f; the ratio was %.2f to %.2f", c.Ours, peer, c.Peer, c.Lowest, c.Highest)
}
