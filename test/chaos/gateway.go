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

// senders is how many clients send signals concurrently.
const senders = 6

// Gateway kills Gateways that receive signals. Afterwards each signal that was
// answered has its events, and none of them twice: its receipt, the creation of
// its request, and its deduplication if it was a duplicate. The program takes
// the arguments of the Gateway's main.
func Gateway(ctx context.Context, o Options) (result verdict.Result, err error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("prepare: %w", err)
	}
	p, err := newProcesses(ctx, &o, "gateway")
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, p.dir.Close()) }()
	p.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--kubeconfig", o.Env.Kubeconfig, "--namespace", namespace, "--watch-namespace", namespace, "--audit-spool", p.spool(),
	}
	at := &endpoint{changed: make(chan struct{})}
	sent := newSenders(namespace, at)
	result.Disruptions, err = p.killUnderSignals(ctx, sent, at, func(management string) error {
		observed := verdict.Observations{Answers: sent.Answers()}
		if observed.Trails, err = readTrails(ctx, o.Env.DataStorage.URL, management, requests(observed.Answers)); err != nil {
			return err
		}
		return result.Check(observed)
	})
	return result, err
}

// killUnderSignals kills processes while signals are sent, and calls check with
// the last one, once every sender has its answer.
func (p *processes) killUnderSignals(ctx context.Context, c *alertmanager.Senders, e *endpoint, check func(management string) error) (kills int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, sending := errgroup.WithContext(ctx)
	for i := range senders {
		group.Go(func() error { return c.Send(sending, p.random(uint64(i)+1)) })
	}
	kills, err = p.killRepeatedly(sending, c.Ticks(), func(at addresses) { e.set(at.API) })
	c.Finish()
	if err == nil {
		err = p.runLast(ctx, func(at addresses) error {
			e.set(at.API)
			if err := group.Wait(); err != nil {
				return err
			}
			return check(at.Management)
		})
	}
	stop()
	_ = group.Wait() // its error is the cause of err, or a consequence of it
	return kills, err
}

// requests are the names of the requests in the answers.
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

// readTrails flushes the last process, and then queries each correlation id once.
func readTrails(ctx context.Context, dataStorageURL, managementURL string, correlationIDs []string) (map[string]testenv.Trail, error) {
	return verdict.ReadTrails(ctx, byURL(managementURL), audittrail.Options{DataStorageURL: dataStorageURL}, correlationIDs)
}
