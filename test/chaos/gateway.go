package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// senders is how many clients send signals concurrently.
const senders = 6

// maxOpen is more than all problems of a run.
const maxOpen = "10000"

// Gateway kills Gateways that receive signals. Afterwards each request that was
// answered has the events of its receipt and its creation, each change of its
// instances has one, and none of them is there twice; and its status lists the
// instances that fire. Duplicates are not counted: their count may be lost with
// the process. The program takes the arguments of the Gateway's main.
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
		// Each problem has a request of its own, however many kills there are.
		"--max-open-per-namespace", maxOpen, "--max-open", maxOpen,
	}
	at := &endpoint{changed: make(chan struct{})}
	sent := newSenders(namespace, at)
	result.Disruptions, err = p.killUnderSignals(ctx, sent, at, func(management string) error {
		observed := verdict.Observations{Answers: sent.Answers()}
		if observed.Trails, err = readTrails(ctx, o.Env.DataStorage.URL, management, requests(observed.Answers)); err != nil {
			return err
		}
		if err := result.Check(observed); err != nil {
			return fmt.Errorf("check the trails: %w", err)
		}
		return checkInstances(ctx, o.Env, namespace, observed.Answers, &result)
	})
	return result, err
}

// checkInstances compares the instances that fire according to the answers with
// the status of each request. A sender waits for an answer before its next
// notification, so the answers about one instance are in order.
func checkInstances(ctx context.Context, c client.Client, namespace string, answers []alertmanager.Answered, result *verdict.Result) error {
	firing := map[string]map[string]bool{}
	for _, a := range answers {
		if firing[a.Request] == nil {
			firing[a.Request] = map[string]bool{}
		}
		firing[a.Request][a.Container] = !a.Resolved
	}
	var list v1alpha1.RemediationRequestList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("read the requests: %w", err)
	}
	for i := range list.Items {
		rr := &list.Items[i]
		want := 0
		for _, fires := range firing[rr.Name] {
			if fires {
				want++
			}
		}
		got := 1 // the alert of the spec
		if rr.Status.Signals != nil {
			got = len(rr.Status.Signals.Instances)
		}
		if want > 0 && got != want {
			result.AddLost(rr.Name, fmt.Sprintf("the status lists %d firing instances, and %d were answered", got, want))
		}
	}
	return nil
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
