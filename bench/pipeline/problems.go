package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
	gateway "kubernaut.ai/services/gateway/app"
)

const (
	// maxWritesPerNew is how many writes of requests and Leases a new problem costs.
	maxWritesPerNew = 2.0
	// minNewRate is how many new problems the Gateway answers, in shares of the bare
	// creations of the same object.
	minNewRate = 0.45
)

// measureNew compares the Gateway with bare creations of the requests that it creates.
func (g *gateways) measureNew(ctx context.Context, report *ratio.Report) (err error) {
	const namespace = "problems"
	pod, err := g.workload(ctx, namespace)
	if err != nil {
		return err
	}
	ours, err := g.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Stop()) }()
	renewals, err := g.watchRenewals(ctx)
	if err != nil {
		return err
	}
	defer renewals.stop()
	p := &problems{gateways: g, gateway: ours, namespace: namespace, pod: pod.Name, senders: newSenders(fewSenders), renewals: renewals}
	if p.kubernetes, err = kubernetes.NewForConfig(g.config); err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	compared, err := ratio.Compare(pairs,
		func() (float64, error) { return p.trial(ctx, p.send) },
		func() (float64, error) { return p.trial(ctx, p.create) })
	if err != nil {
		return fmt.Errorf("compare new problems: %w", err)
	}
	report.Figuref("new problems: %.0f/s, bare creations %.0f/s", compared.Ours, compared.Peer)
	report.AtMost("gateway-writes-per-new", p.writes/float64(p.sent), maxWritesPerNew)
	report.AtLeast("gateway-new-vs-create", compared.Ratio, minNewRate)
	return nil
}

// problems are the trials with new problems.
type problems struct {
	*gateways

	gateway        *runningGateway
	namespace, pod string
	senders        *http.Client
	kubernetes     *kubernetes.Clientset
	renewals       *renewals

	trials int
	// model is a request that the Gateway created.
	model *v1alpha1.RemediationRequest
	// sent counts the problems of the Gateway, and writes what they cost.
	sent   int
	writes float64
}

// trial measures one side, and deletes what it created.
func (p *problems) trial(ctx context.Context, side func(context.Context) (float64, error)) (float64, error) {
	p.trials++
	rate, err := side(ctx)
	if err != nil {
		return 0, err
	}
	return rate, p.clean(ctx)
}

// send sends new problems for a round.
func (p *problems) send(ctx context.Context) (float64, error) {
	before, err := p.countWrites(ctx)
	if err != nil {
		return 0, err
	}
	rate, sent, err := drive(ctx, fewSenders, p.round, func(ctx context.Context, sender, call int) error {
		alert := fmt.Sprintf("Problem-%d-%d-%d", p.trials, sender, call)
		status, answer, err := post(ctx, p.senders, p.gateway.signals, notification(alert, p.namespace, p.pod))
		if err == nil && status != http.StatusCreated {
			err = fmt.Errorf("a new problem was answered with %d: %s", status, answer)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := p.settle(ctx, p.gateway); err != nil {
		return 0, err
	}
	after, err := p.countWrites(ctx)
	if err != nil {
		return 0, err
	}
	p.sent += sent
	p.writes += after - before
	return rate, p.keepModel(ctx)
}

// keepModel keeps one of the requests that the Gateway created.
func (p *problems) keepModel(ctx context.Context) error {
	if p.model != nil {
		return nil
	}
	var list v1alpha1.RemediationRequestList
	if err := p.client.List(ctx, &list, client.InNamespace(p.namespace), client.Limit(1)); err != nil {
		return fmt.Errorf("list requests: %w", err)
	}
	if len(list.Items) == 0 {
		return errors.New("the Gateway created no request")
	}
	p.model = &list.Items[0]
	return nil
}

// create creates requests like those of the Gateway for a round.
func (p *problems) create(ctx context.Context) (float64, error) {
	rate, _, err := drive(ctx, fewSenders, p.round, func(ctx context.Context, sender, call int) error {
		request := &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p.namespace, Name: fmt.Sprintf("rr-bare-%d-%d-%d", p.trials, sender, call),
				Labels: p.model.Labels, Annotations: p.model.Annotations, Finalizers: p.model.Finalizers,
			},
			Spec: p.model.Spec,
		}
		if err := p.client.Create(ctx, request); err != nil {
			return fmt.Errorf("create request: %w", err)
		}
		return nil
	})
	return rate, err
}

// clean deletes all requests, and the Leases of the Gateway.
func (p *problems) clean(ctx context.Context) error {
	var list v1alpha1.RemediationRequestList
	if err := p.client.List(ctx, &list, client.InNamespace(p.namespace)); err != nil {
		return fmt.Errorf("list requests: %w", err)
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(fewSenders)
	released := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	for i := range list.Items {
		group.Go(func() error {
			if err := p.client.Patch(inGroup, &list.Items[i], released); err != nil {
				return fmt.Errorf("release request: %w", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err //nolint:wrapcheck // of this package
	}
	if err := p.client.DeleteAllOf(ctx, &v1alpha1.RemediationRequest{}, client.InNamespace(p.namespace)); err != nil {
		return fmt.Errorf("delete requests: %w", err)
	}
	if err := p.client.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(gateway.Defaults().Namespace)); err != nil {
		return fmt.Errorf("delete leases: %w", err)
	}
	return nil
}

// countWrites returns how often requests and Leases were created, updated and
// patched, without the renewals of Leases that are not the Gateway's.
func (p *problems) countWrites(ctx context.Context) (float64, error) {
	metrics, err := p.kubernetes.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	renewed := p.renewals.count.Load()
	writes, err := sum(bytes.NewReader(metrics), "apiserver_request_total", func(l labels) bool {
		switch l["verb"] {
		case "POST", "PUT", "PATCH", "APPLY":
			return l["resource"] == "remediationrequests" || l["resource"] == "leases"
		default:
			return false
		}
	})
	return writes - float64(renewed), err
}

// renewals counts how often the API server renews its own Lease.
type renewals struct {
	count atomic.Int64
	stop  func()
}

func (g *gateways) watchRenewals(ctx context.Context) (*renewals, error) {
	changes, err := g.client.Watch(ctx, &coordinationv1.LeaseList{}, client.InNamespace(metav1.NamespaceSystem))
	if err != nil {
		return nil, fmt.Errorf("watch leases: %w", err)
	}
	r := &renewals{stop: changes.Stop}
	go func() {
		for change := range changes.ResultChan() {
			if change.Type == watch.Modified {
				r.count.Add(1)
			}
		}
	}()
	return r, nil
}
