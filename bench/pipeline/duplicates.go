package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
)

const (
	// minDuplicatesRate is how many duplicates the Gateway answers, in shares of
	// the answers of a bare server.
	minDuplicatesRate = 0.5
	// The API reads that a duplicate may cost.
	maxReadsFew  = 0.25
	maxReadsMany = 0.1
	// bareStop bounds the stop of the bare server.
	bareStop = 10 * time.Second
)

// measureDuplicates compares the Gateway with a bare server. The signals repeat
// a problem whose pod is gone, and which another Gateway opened.
func (g *gateways) measureDuplicates(ctx context.Context, report *ratio.Report) (err error) {
	body, err := g.openProblem(ctx, "duplicates")
	if err != nil {
		return err
	}
	ours, err := g.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Stop()) }()
	senders := newSenders(manySenders)
	answer, err := g.duplicate(ctx, senders, ours.signals, body)
	if err != nil {
		return err
	}
	bare, err := g.startBare(ctx, answer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop(ctx)) }()

	few := g.duplicates(senders, ours.signals, fewSenders, body, answer)
	compared, err := ratio.Compare(pairs,
		func() (float64, error) { return few.trial(ctx) },
		func() (float64, error) {
			return g.duplicates(senders, bare.url, fewSenders, body, answer).trial(ctx)
		})
	if err != nil {
		return fmt.Errorf("compare duplicates: %w", err)
	}
	many := g.duplicates(senders, ours.signals, manySenders, body, answer)
	for range pairs {
		if _, err := many.trial(ctx); err != nil {
			return fmt.Errorf("duplicates of %d senders: %w", manySenders, err)
		}
	}
	report.Figuref("duplicates: %.0f/s, a bare server answers %.0f/s", compared.Ours, compared.Peer)
	report.AtLeast("gateway-duplicates-vs-bare", compared.Ratio, minDuplicatesRate)
	report.AtMost("gateway-reads-per-duplicate", few.readsEach(), maxReadsFew)
	report.AtMost("gateway-reads-per-duplicate-64", many.readsEach(), maxReadsMany)
	return g.settle(ctx, ours)
}

// openProblem has a Gateway open a request for a problem of a pod, which is
// deleted afterwards. It returns the notification.
func (g *gateways) openProblem(ctx context.Context, namespace string) (_ []byte, err error) {
	pod, err := g.workload(ctx, namespace)
	if err != nil {
		return nil, err
	}
	first, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, first.Stop()) }()
	body := notification("KubePodCrashLooping", namespace, pod.Name)
	status, answer, err := post(ctx, http.DefaultClient, first.signals, body)
	if err != nil {
		return nil, err
	}
	if status != http.StatusCreated {
		return nil, fmt.Errorf("a new problem was answered with %d: %s", status, answer)
	}
	return body, g.deleteNow(ctx, pod)
}

// duplicate sends one duplicate and returns the answer.
func (g *gateways) duplicate(ctx context.Context, senders *http.Client, url string, body []byte) ([]byte, error) {
	status, answer, err := post(ctx, senders, url, body)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK || !bytes.Contains(answer, []byte(`"duplicate"`)) {
		return nil, fmt.Errorf("a duplicate was answered with %d: %s", status, answer)
	}
	return answer, nil
}

// duplicates are trials with one server.
type duplicates struct {
	*gateways

	client       *http.Client
	url          string
	senders      int
	body, answer []byte

	answered, read int
}

func (g *gateways) duplicates(senders *http.Client, url string, count int, body, answer []byte) *duplicates {
	return &duplicates{gateways: g, client: senders, url: url, senders: count, body: body, answer: answer}
}

// trial sends duplicates for a round. All of them get the same answer.
func (d *duplicates) trial(ctx context.Context) (float64, error) {
	before := d.reads.Load()
	rate, calls, err := drive(ctx, d.senders, d.round, func(ctx context.Context, _, _ int) error {
		answer, err := d.duplicate(ctx, d.client, d.url, d.body)
		if err == nil && !bytes.Equal(answer, d.answer) {
			err = fmt.Errorf("two duplicates got different answers: %s and %s", d.answer, answer)
		}
		return err
	})
	d.answered += calls
	d.read += int(d.reads.Load() - before)
	return rate, err
}

// readsEach is how many API reads a duplicate cost.
func (d *duplicates) readsEach() float64 { return float64(d.read) / float64(d.answered) }

// bareServer decodes notifications, waits for a read of one request, and answers
// always the same.
type bareServer struct {
	url    string
	server *http.Server
	ended  chan error
}

// startBare starts a bare server. It reads the request that an answer names.
func (g *gateways) startBare(ctx context.Context, answer []byte) (*bareServer, error) {
	var named struct {
		Name      string `json:"remediationRequestName"`
		Namespace string `json:"remediationRequestNamespace"`
	}
	if err := decodeJSON(answer, &named); err != nil {
		return nil, err
	}
	reads := &sharedRead{read: func(ctx context.Context) error {
		return g.client.Get(ctx, client.ObjectKey{Namespace: named.Namespace, Name: named.Name}, &v1alpha1.RemediationRequest{})
	}}
	e := echo.New()
	e.HideBanner = true
	e.POST(signalsPath, func(c echo.Context) error {
		var n alertmanagerNotification
		if err := c.Bind(&n); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		if err := reads.wait(c.Request().Context()); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		return c.JSONBlob(http.StatusOK, answer)
	})
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", anyPort)
	if err != nil {
		return nil, fmt.Errorf("start the bare server: %w", err)
	}
	b := &bareServer{
		url:    "http://" + listener.Addr().String() + signalsPath,
		server: &http.Server{Handler: e, ReadHeaderTimeout: bareStop},
		ended:  make(chan error, 1),
	}
	go func() { b.ended <- b.server.Serve(listener) }()
	return b, nil
}

func (b *bareServer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bareStop)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop the bare server: %w", err)
	}
	if err := <-b.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the bare server: %w", err)
	}
	return nil
}
