package kill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
)

// senders is how many clients send signals at the same time.
const senders = 6

// gatewayReady is what a Gateway logs once it serves.
const gatewayReady = "taking signals"

// Gateway kills Gateways that take signals. Each signal that was answered has
// its events afterwards, and none of them twice: its receipt, the creation of
// its request, and that it was a duplicate where it was one. The program is
// called as a Gateway's main is.
func Gateway(ctx context.Context, o Options) (tally Tally, err error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return Tally{}, fmt.Errorf("prepare: %w", err)
	}
	l, err := newLives(ctx, &o, "gateway")
	if err != nil {
		return Tally{}, err
	}
	defer func() { err = errors.Join(err, l.dir.Close()) }()
	l.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--kubeconfig", o.Env.Kubeconfig, "--namespace", namespace, "--watch-namespace", namespace, "--audit-spool", l.spool(),
	}
	c := newClients(namespace)
	tally.Kills, err = l.underSignals(ctx, c, func(at addresses) error {
		trails, err := readTrails(ctx, o.Env.DataStorage.URL, at.Management, c.requests())
		if err != nil {
			return err
		}
		return tally.judgeAnswers(c.answers, trails)
	})
	return tally, err
}

// underSignals kills lives while clients send signals, and leaves the last one
// to judge, once every client has its answer.
func (l *lives) underSignals(ctx context.Context, c *clients, judge func(addresses) error) (kills int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, sending := errgroup.WithContext(ctx)
	for i := range senders {
		group.Go(func() error { return c.send(sending, l.random(uint64(i)+1)) })
	}
	kills, err = l.reign(sending, gatewayReady, c.ticks, func(at addresses) { c.server.move(at.API) })
	c.finish()
	if err == nil {
		err = l.last(ctx, gatewayReady, func(at addresses) error {
			c.server.move(at.API)
			if err := group.Wait(); err != nil {
				return err
			}
			return judge(at)
		})
	}
	stop()
	_ = group.Wait() // what it says is the reason of err, or its consequence
	return kills, err
}

// requests are the names of those that answers spoke of.
func (c *clients) requests() []string {
	names := map[string]bool{}
	for _, a := range c.answers {
		names[a.Request] = true
	}
	return slices.Collect(maps.Keys(names))
}
