package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/internal/lifecycle"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
)

// The bars of a flood at full scale: one sender makes 20,000 problems.
const (
	maxFloodObjects   = 6_000
	maxFloodSeconds   = 60
	maxOtherSeconds   = 1
	floodBody         = 100
	floodConnections  = 12
	floodNamespaces   = 4
	noisySender       = "noisy"
	quietSender       = "quiet"
	otherEvery        = time.Second
	objectsEvery      = time.Second
	floodEndPatience  = 10 * time.Minute
	storageCountDelay = time.Minute // how often the API server counts what is stored
)

// measureFlood lets one sender make a new problem with every alert, looks at how
// many objects that makes and how long another sender waits meanwhile, and then
// waits until all objects are gone, because nothing fires any more.
func measureFlood(ctx context.Context, scale ratio.Scale, report *ratio.Report) (err error) {
	s, err := startServers(ctx)
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err != nil {
		return err
	}
	controllers, err := controlplane.FindControllers(ctx, progress.To(os.Stderr))
	if err != nil {
		return fmt.Errorf("find the garbage collector: %w", err)
	}
	if err := s.plane.RunControllers(ctx, controllers); err != nil {
		return fmt.Errorf("run the garbage collector: %w", err)
	}
	f := &flood{servers: s, problems: scale.Pick(2_000, 20_000), finishedTTL: time.Duration(scale.Pick(5, 60)) * time.Second}
	stop, err := f.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return f.measure(ctx, report)
}

// flood is what its parts share.
type flood struct {
	*servers

	problems    int
	finishedTTL time.Duration
	kubernetes  *kubernetes.Clientset
	url         string
	senders     *http.Client
	// again counts the notifications that were sent again, because the answer was 503.
	again atomic.Int64
}

// start runs the Gateway with its default bounds and two known senders, and SignalProcessing.
func (f *flood) start(ctx context.Context) (stop func() error, err error) {
	if f.kubernetes, err = kubernetes.NewForConfig(f.config); err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	f.senders = newSenders(floodConnections + 1)
	home := gateway.Defaults().Namespace
	if err := f.namespace(ctx, home); err != nil {
		return nil, err
	}
	for n := range floodNamespaces + 1 {
		if err := f.namespace(ctx, floodNamespace(n)); err != nil {
			return nil, err
		}
	}
	dir, err := supervise.Temporary(ctx, "bench-flood")
	if err != nil {
		return nil, fmt.Errorf("start the Gateway: %w", err)
	}
	tokens := dir.Join("tokens")
	if err := writeTokens(tokens, noisySender, quietSender); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	incoming, err := gateway.New(gateway.Options{
		DataStorageURL: f.dataStorageURL, Listen: anyPort, ManagementListen: anyPort, RESTConfig: f.config,
		Auth: auth.Flags{Mode: auth.ModeTokenFile, File: tokens},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure the Gateway: %w", err), dir.Close())
	}
	processing, err := signalprocessing.New(signalprocessing.Options{
		DataStorageURL: f.dataStorageURL, ManagementListen: anyPort, RESTConfig: f.config,
		GatewayNamespace: home, FinishedTTL: f.finishedTTL,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure SignalProcessing: %w", err), dir.Close())
	}
	receiving, err := lifecycle.Start(ctx, "the Gateway", incoming)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	f.url = incoming.APIURL() + signalsPath
	running, err := lifecycle.Start(ctx, "SignalProcessing", processing)
	if err != nil {
		return nil, errors.Join(err, receiving.Stop(), dir.Close())
	}
	return func() error { return errors.Join(running.Stop(), receiving.Stop(), dir.Close()) }, nil
}

func floodNamespace(n int) string { return fmt.Sprintf("flood-%d", n) }

func writeTokens(path string, senders ...string) error {
	var lines strings.Builder
	for _, sender := range senders {
		hash := sha256.Sum256([]byte(sender))
		fmt.Fprintln(&lines, sender, hex.EncodeToString(hash[:]), "namespaces=*")
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("write the senders' tokens: %w", err)
	}
	return nil
}

func (f *flood) measure(ctx context.Context, report *ratio.Report) error {
	flooding, ended := context.WithCancel(ctx)
	defer ended()
	group, inGroup := errgroup.WithContext(ctx)
	var most, slowest float64
	group.Go(func() (err error) {
		most, err = f.watchObjects(inGroup, flooding.Done())
		return err
	})
	group.Go(func() (err error) {
		slowest, err = f.sendOthers(inGroup, flooding.Done())
		return err
	})
	var elapsed time.Duration
	group.Go(func() error {
		defer ended()
		start := time.Now()
		defer func() { elapsed = time.Since(start) }()
		return f.send(inGroup, "firing")
	})
	if err := group.Wait(); err != nil {
		return err //nolint:wrapcheck // of this package
	}
	counted, err := f.storedObjects(ctx)
	if err != nil {
		return err
	}
	report.Figuref("flood: %d problems of one sender in %.1f s, %d notifications sent again after a 503; at most %.0f objects, %.0f by the API server's own count",
		f.problems, elapsed.Seconds(), f.again.Load(), most, counted)
	report.AtMost("flood-seconds", elapsed.Seconds(), maxFloodSeconds)
	report.AtMost("flood-objects", max(most, counted), maxFloodObjects)
	report.AtMost("flood-other-sender-seconds", slowest, maxOtherSeconds)

	start := time.Now()
	if err := f.send(ctx, "resolved"); err != nil {
		return err
	}
	resolved := time.Since(start)
	left, err := f.waitForNone(ctx)
	if err != nil {
		return err
	}
	report.Figuref("flood: resolved in %.1f s; with a finished TTL of %s, the last object went %.1f s later",
		resolved.Seconds(), f.finishedTTL, time.Since(start).Seconds()-resolved.Seconds())
	report.AtMost("flood-objects-left", float64(left), 0)
	return nil
}

// send sends all problems, in bodies of a hundred alerts.
func (f *flood) send(ctx context.Context, status string) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range floodConnections {
		group.Go(func() error {
			for {
				first := int(next.Add(floodBody)) - floodBody
				if first >= f.problems {
					return nil
				}
				names := make([]string, floodBody)
				for i := range names {
					names[i] = fmt.Sprintf("Generated-%d", first+i)
				}
				namespace := floodNamespace(first / floodBody % floodNamespaces)
				if err := f.post(ctx, noisySender, status, namespace, names...); err != nil {
					return fmt.Errorf("send %d %s alerts: %w", floodBody, status, err)
				}
			}
		})
	}
	return group.Wait() //nolint:wrapcheck // of this package
}

// sendOthers sends new problems of another sender until the flood has ended, then
// sends them as resolved. It returns the longest wait for a request, in seconds.
func (f *flood) sendOthers(ctx context.Context, end <-chan struct{}) (slowest float64, err error) {
	var names []string
	for wait := time.NewTicker(otherEvery); ; {
		name := fmt.Sprintf("Real-%d", len(names))
		start := time.Now()
		if err := f.post(ctx, quietSender, "firing", floodNamespace(floodNamespaces), name); err != nil {
			return 0, fmt.Errorf("send an alert of another sender: %w", err)
		}
		slowest = max(slowest, time.Since(start).Seconds())
		names = append(names, name)
		select {
		case <-wait.C:
		case <-end:
			wait.Stop()
			return slowest, f.post(ctx, quietSender, "resolved", floodNamespace(floodNamespaces), names...)
		}
	}
}

// post sends alerts until all are taken: after a 503 again, as Alertmanager does.
func (f *flood) post(ctx context.Context, sender, status, namespace string, names ...string) error {
	type alert struct {
		Status   string            `json:"status"`
		Labels   map[string]string `json:"labels"`
		StartsAt time.Time         `json:"startsAt"`
		EndsAt   time.Time         `json:"endsAt"`
	}
	now := time.Now()
	alerts := make([]alert, len(names))
	for i, name := range names {
		alerts[i] = alert{status, map[string]string{labelAlert: name, labelNamespace: namespace, labelSeverity: severity}, now, now}
	}
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", memberStatus: status, "alerts": alerts})
	if err != nil {
		return fmt.Errorf("encode notification: %w", err)
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("send notification: %w", err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+sender)
		code, answer, err := answered(f.senders, request)
		switch {
		case err != nil:
			return err
		case slices.Contains([]int{http.StatusOK, http.StatusCreated, http.StatusMultiStatus}, code):
			return nil
		case code != http.StatusServiceUnavailable:
			return fmt.Errorf("answered with %d: %s", code, answer)
		}
		f.again.Add(1)
	}
}

// watchObjects returns the highest number of objects of our kinds, and Leases,
// that it found until the flood had ended.
func (f *flood) watchObjects(ctx context.Context, end <-chan struct{}) (most float64, err error) {
	for wait := time.NewTicker(objectsEvery); ; {
		objects, leases, err := f.objects(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, float64(objects+leases))
		select {
		case <-wait.C:
		case <-end:
			wait.Stop()
			return most, nil
		}
	}
}

// objects counts what is stored: objects of our kinds, and the Gateway's Leases.
func (f *flood) objects(ctx context.Context) (ours, leases int, err error) {
	var requests v1alpha1.RemediationRequestList
	var processings v1alpha1.SignalProcessingList
	if err := errors.Join(f.client.List(ctx, &requests), f.client.List(ctx, &processings)); err != nil {
		return 0, 0, fmt.Errorf("count objects: %w", err)
	}
	list, err := f.kubernetes.CoordinationV1().Leases(gateway.Defaults().Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, fmt.Errorf("count Leases: %w", err)
	}
	return len(requests.Items) + len(processings.Items), len(list.Items), nil
}

// storedObjects is the API server's own count, of the kinds that objects counts.
// It waits for as long as a count may be old.
func (f *flood) storedObjects(ctx context.Context) (float64, error) {
	select {
	case <-time.After(storageCountDelay):
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the API server's count: %w", ctx.Err())
	}
	metrics, err := f.kubernetes.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return sum(bytes.NewReader(metrics), "apiserver_resource_objects", func(l labels) bool {
		return l["group"] == v1alpha1.GroupVersion.Group || l["resource"] == "leases"
	})
}

// waitForNone waits until no object of our kinds is left, and returns how many
// are left when its patience ends.
func (f *flood) waitForNone(ctx context.Context) (left int, err error) {
	ctx, cancel := context.WithTimeout(ctx, floodEndPatience)
	defer cancel()
	for wait := time.NewTicker(objectsEvery); ; {
		ours, _, err := f.objects(ctx)
		if err != nil && ctx.Err() == nil {
			return 0, err
		}
		if err == nil {
			left = ours
		}
		if left == 0 {
			wait.Stop()
			return 0, nil
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return left, nil
		}
	}
}
