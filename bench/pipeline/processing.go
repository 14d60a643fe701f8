package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/lifecycle"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
)

const (
	// maxWrites is how many API writes a request may cost on its way to Classified.
	maxWrites = 7
	// minProcessingRate is how many requests are classified, in shares of the objects
	// that the bare status loop finishes in the same time.
	minProcessingRate = 0.6
	// creators make objects concurrently.
	creators = 8
)

// measureProcessing compares SignalProcessing with a bare status loop.
func measureProcessing(ctx context.Context, scale ratio.Scale, report *ratio.Report) (err error) {
	s, err := startServers(ctx)
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err != nil {
		return err
	}
	p := &processing{servers: s, objects: scale.Pick(100, 2_000)}
	compared, err := ratio.Compare(pairs,
		func() (float64, error) { return p.trial(ctx, p.startService, classified) },
		func() (float64, error) { return p.trial(ctx, p.startLoop, looped) })
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	report.Figuref("processing: %.0f requests/s, a bare status loop %.0f objects/s", compared.Ours, compared.Peer)
	report.AtMost("signalprocessing-writes-per-request", float64(p.writes.Load())/float64(p.processed), maxWrites)
	report.AtLeast("signalprocessing-vs-status-loop", compared.Ratio, minProcessingRate)
	return nil
}

// processing is what the trials share.
type processing struct {
	*servers

	objects int // in each trial
	trials  int
	// processed is the number of requests that the service has classified, and writes
	// how many API writes it made.
	processed int
	writes    atomic.Int64
}

// startFunc starts what handles the requests of a namespace, and returns what stops it.
type startFunc func(ctx context.Context, namespace string) (stop func() error, err error)

// trial makes requests, starts what handles them, and measures from the first status that
// shows progress to the last that shows the end.
func (p *processing) trial(ctx context.Context, start startFunc, done func(*v1alpha1.RemediationRequest) bool) (rate float64, err error) {
	p.trials++
	namespace := fmt.Sprintf("shop-%d", p.trials)
	if err := p.fill(ctx, namespace); err != nil {
		return 0, err
	}
	changes, err := p.client.Watch(ctx, &v1alpha1.RemediationRequestList{}, client.InNamespace(namespace))
	if err != nil {
		return 0, fmt.Errorf("watch: %w", err)
	}
	defer changes.Stop()
	stop, err := start(ctx, namespace)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	var first time.Time
	finished := map[string]bool{}
	for change := range changes.ResultChan() {
		rr, ok := change.Object.(*v1alpha1.RemediationRequest)
		if !ok {
			return 0, fmt.Errorf("watch: %v", change.Object)
		}
		if first.IsZero() && rr.Status.Message != "" {
			first = time.Now()
			continue
		}
		if done(rr) {
			finished[rr.Name] = true
		}
		if len(finished) == p.objects-1 {
			return float64(len(finished)) / time.Since(first).Seconds(), nil
		}
	}
	return 0, fmt.Errorf("the watch ended after %d objects: %w", len(finished), ctx.Err())
}

// fill makes a namespace with a pod and requests about it.
func (p *processing) fill(ctx context.Context, namespace string) error {
	if err := p.namespace(ctx, namespace); err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: webPod, Labels: map[string]string{appLabel: web}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: web, Image: web}}},
	}
	if err := p.client.Create(ctx, pod); err != nil {
		return fmt.Errorf("make pod: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range p.objects {
		group.Go(func() error {
			rr := &v1alpha1.RemediationRequest{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("rr-%s-%d", namespace, i)},
				Spec:       v1alpha1.RemediationRequestSpec{Signal: signalOf(namespace)},
			}
			if err := p.client.Create(ctx, rr); err != nil {
				return fmt.Errorf("make request: %w", err)
			}
			return nil
		})
	}
	return group.Wait() //nolint:wrapcheck // of this package
}

// startService runs SignalProcessing with its default options.
func (p *processing) startService(ctx context.Context, namespace string) (func() error, error) {
	config := rest.CopyConfig(p.config)
	config.Wrap(p.count)
	app, err := signalprocessing.New(signalprocessing.Options{
		DataStorageURL: p.dataStorageURL, ManagementListen: anyPort, RESTConfig: config,
		WatchNamespaces: []string{namespace}, GatewayNamespace: namespace,
	})
	if err != nil {
		return nil, fmt.Errorf("configure SignalProcessing: %w", err)
	}
	running, err := lifecycle.Start(ctx, "SignalProcessing", app)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the part
	}
	p.processed += p.objects
	return running.Stop, nil
}

// classified holds for a request that SignalProcessing is done with.
func classified(rr *v1alpha1.RemediationRequest) bool {
	return rr.Status.Phase == v1alpha1.RemediationClassified
}

// count counts the API requests that write.
func (p *processing) count(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet && !strings.Contains(request.URL.Path, "/leases") {
			p.writes.Add(1)
		}
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
