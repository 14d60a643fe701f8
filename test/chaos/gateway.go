package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// senders is how many clients send signals at the same time.
const senders = 6

// gatewayReady is what a Gateway logs once it serves.
const gatewayReady = "taking signals"

// Gateway kills Gateways that take signals. Each signal that was answered has
// its events afterwards, and none of them twice: its receipt, the creation of
// its request, and that it was a duplicate where it was one. The program is
// called as a Gateway's main is.
func Gateway(ctx context.Context, o Options) (tally verdict.Tally, err error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return verdict.Tally{}, fmt.Errorf("prepare: %w", err)
	}
	l, err := newLives(ctx, &o, "gateway")
	if err != nil {
		return verdict.Tally{}, err
	}
	defer func() { err = errors.Join(err, l.dir.Close()) }()
	l.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--kubeconfig", o.Env.Kubeconfig, "--namespace", namespace, "--watch-namespace", namespace, "--audit-spool", l.spool(),
	}
	at := &server{moved: make(chan struct{})}
	sent := newSenders(namespace, at)
	tally.Deeds, err = l.underSignals(ctx, sent, at, func(management string) error {
		seen := verdict.Seen{Answers: sent.Answers()}
		if seen.Trails, err = readTrails(ctx, o.Env.DataStorage.URL, management, requests(seen.Answers)); err != nil {
			return err
		}
		return tally.Judge(seen)
	})
	return tally, err
}

// underSignals kills lives while signals are sent, and leaves the last one to
// judge, once every sender has its answer.
func (l *lives) underSignals(ctx context.Context, c *alertmanager.Senders, s *server, judge func(management string) error) (kills int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, sending := errgroup.WithContext(ctx)
	for i := range senders {
		group.Go(func() error { return c.Send(sending, l.random(uint64(i)+1)) })
	}
	kills, err = l.reign(sending, gatewayReady, c.Ticks(), func(at addresses) { s.move(at.API) })
	c.Finish()
	if err == nil {
		err = l.last(ctx, gatewayReady, func(at addresses) error {
			s.move(at.API)
			if err := group.Wait(); err != nil {
				return err
			}
			return judge(at.Management)
		})
	}
	stop()
	_ = group.Wait() // what it says is the reason of err, or its consequence
	return kills, err
}

// requests are the names of those that answers spoke of.
func requests(answers []alertmanager.Answered) []string {
	names := map[string]bool{}
	for _, a := range answers {
		names[a.Request] = true
	}
	return slices.Collect(maps.Keys(names))
}

// byURL flushes the service at a management URL.
type byURL string

// Flush implements audittrail.Flusher.
func (u byURL) Flush(ctx context.Context, correlationID string) ([]audit.Receipt, error) {
	return audittrail.Flush(ctx, http.DefaultClient, []string{string(u)}, correlationID)
}

// readTrails flushes the last life, and then queries each correlation id once.
func readTrails(ctx context.Context, dataStorageURL, managementURL string, correlationIDs []string) (map[string]testenv.Trail, error) {
	return verdict.ReadTrails(ctx, byURL(managementURL), audittrail.Options{DataStorageURL: dataStorageURL}, correlationIDs)
}
