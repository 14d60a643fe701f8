package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit/flushhttp"
	gateway "kubernaut.ai/services/gateway/app"
)

const (
	// fewSenders is how many senders a bar has that names no other number.
	fewSenders  = 12
	manySenders = 64
	// noQuota is a bound that no trial reaches.
	noQuota = 10_000
	// idlePatience bounds the wait until a Gateway has nothing pending.
	idlePatience = 30 * time.Second
	idlePoll     = 10 * time.Millisecond
)

// measureGateway compares the Gateway with bare servers and clients that do the
// least that its promises cost, and looks at its peak memory.
func measureGateway(ctx context.Context, scale ratio.Scale, report *ratio.Report) (err error) {
	s, err := startServers(ctx)
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err != nil {
		return err
	}
	g := &gateways{servers: s, round: time.Duration(scale.Pick(1, 10)) * time.Second}
	if err := g.namespace(ctx, gateway.Defaults().Namespace); err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *ratio.Report) error{
		g.measureDuplicates, g.measureNew, g.measureMemory,
	} {
		if err := measure(ctx, report); err != nil {
			return err
		}
	}
	return nil
}

// gateways are what the measurements share.
type gateways struct {
	*servers

	round time.Duration // of each trial
	// reads counts the GET requests for remediation requests of all Gateways.
	reads atomic.Int64
}

// runningGateway is an embedded Gateway.
type runningGateway struct {
	*lifecycle.Running

	signals    string // URL that takes the notifications of Alertmanager
	management string
}

// start runs a Gateway with its default options, but without bounds on open requests.
func (g *gateways) start(ctx context.Context) (*runningGateway, error) {
	config := rest.CopyConfig(g.config)
	config.Wrap(g.countReads)
	app, err := gateway.New(gateway.Options{
		DataStorageURL: g.dataStorageURL, Listen: anyPort, ManagementListen: anyPort, RESTConfig: config,
		MaxOpenPerSender: noQuota, MaxOpenPerNamespace: noQuota, MaxOpen: noQuota,
	})
	if err != nil {
		return nil, fmt.Errorf("configure the Gateway: %w", err)
	}
	running, err := lifecycle.Start(ctx, "the Gateway", app)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the part
	}
	return &runningGateway{running, app.APIURL() + signalsPath, app.ManagementURL()}, nil
}

// signalsPath is where the Gateway takes the notifications of Alertmanager.
const signalsPath = "/api/v1/signals/prometheus"

// countReads counts the GET requests for remediation requests, without watches.
func (g *gateways) countReads(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method == http.MethodGet && strings.Contains(request.URL.Path, "/remediationrequests") &&
			!request.URL.Query().Has("watch") {
			g.reads.Add(1)
		}
		return next.RoundTrip(request)
	})
}

// settle returns once a Gateway has written all counts, and DataStorage has
// stored all its events.
func (g *gateways) settle(ctx context.Context, r *runningGateway) error {
	ctx, cancel := context.WithTimeout(ctx, idlePatience)
	defer cancel()
	for {
		pending, err := scrape(ctx, r.management+"/metrics", "gateway_counts_pending", func(labels) bool { return true })
		if err != nil {
			return err
		}
		if pending == 0 {
			break
		}
		select {
		case <-time.After(idlePoll):
		case <-ctx.Done():
			return fmt.Errorf("wait for the counts of %.0f requests: %w", pending, ctx.Err())
		}
	}
	if _, err := flushhttp.Request(ctx, http.DefaultClient, r.management+"/audit/flush", ""); err != nil {
		return fmt.Errorf("flush the Gateway's events: %w", err)
	}
	return nil
}

// workload makes a namespace with a pod that a Deployment controls.
func (g *gateways) workload(ctx context.Context, namespace string) (*corev1.Pod, error) {
	if err := g.namespace(ctx, namespace); err != nil {
		return nil, err
	}
	pods := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{appLabel: web}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: web, Image: web}}},
	}
	selector := &metav1.LabelSelector{MatchLabels: pods.Labels}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: web},
		Spec:       appsv1.DeploymentSpec{Selector: selector, Template: pods},
	}
	if err := g.client.Create(ctx, deployment); err != nil {
		return nil, fmt.Errorf("make deployment: %w", err)
	}
	replicas := &appsv1.ReplicaSet{
		ObjectMeta: controlled(namespace, "web-6d4b75cb6d", metav1.NewControllerRef(deployment, appsv1.SchemeGroupVersion.WithKind("Deployment"))),
		Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: pods},
	}
	if err := g.client.Create(ctx, replicas); err != nil {
		return nil, fmt.Errorf("make replica set: %w", err)
	}
	pod := &corev1.Pod{
		ObjectMeta: controlled(namespace, "web-6d4b75cb6d-x7k2p", metav1.NewControllerRef(replicas, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))),
		Spec:       pods.Spec,
	}
	if err := g.client.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("make pod: %w", err)
	}
	return pod, nil
}

func controlled(namespace, name string, by *metav1.OwnerReference) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, OwnerReferences: []metav1.OwnerReference{*by}}
}

// deleteNow deletes an object without a grace period.
func (g *gateways) deleteNow(ctx context.Context, object client.Object) error {
	if err := g.client.Delete(ctx, object, client.GracePeriodSeconds(0)); err != nil {
		return fmt.Errorf("delete %s: %w", object.GetName(), err)
	}
	return nil
}
