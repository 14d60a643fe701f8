package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// drive calls do from several goroutines for a while, and returns how many calls
// a second there were, and how many in all. Calls that have begun are finished.
func drive(ctx context.Context, senders int, duration time.Duration, do func(ctx context.Context, sender, call int) error) (rate float64, calls int, err error) {
	start := time.Now()
	counts := make([]int, senders)
	group, ctx := errgroup.WithContext(ctx)
	for sender := range senders {
		group.Go(func() error {
			for time.Since(start) < duration && ctx.Err() == nil {
				if err := do(ctx, sender, counts[sender]); err != nil {
					return err
				}
				counts[sender]++
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err //nolint:wrapcheck // of this package
	}
	for _, count := range counts {
		calls += count
	}
	return float64(calls) / time.Since(start).Seconds(), calls, nil
}

// newSenders is a client that keeps a connection for each sender.
func newSenders(senders int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
}

// post sends a notification and returns the answer.
func post(ctx context.Context, c *http.Client, url string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("send notification: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	return answered(c, request)
}

// answered sends a request and reads the whole answer.
func answered(c *http.Client, request *http.Request) (status int, answer []byte, err error) {
	response, err := c.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("send notification: %w", err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return response.StatusCode, answer, nil
}

// notification is what an Alertmanager sends about an alert for a pod.
func notification(alert, namespace, pod string) []byte {
	return fmt.Appendf(nil, `{
  "version": "4", "groupKey": "{}/{severity=\"warning\"}:{alertname=\"%[1]s\", namespace=\"%[2]s\"}", "truncatedAlerts": 0,
  "status": "firing", "receiver": "kubernaut", "externalURL": "http://alertmanager-main-0:9093",
  "groupLabels": {"alertname": "%[1]s", "namespace": "%[2]s"},
  "commonLabels": {"alertname": "%[1]s", "namespace": "%[2]s", "severity": "warning", "prometheus": "monitoring/k8s"},
  "commonAnnotations": {"runbook_url": "https://runbooks.example/kubepodcrashlooping"},
  "alerts": [{
    "status": "firing",
    "labels": {
      "alertname": "%[1]s", "container": "web", "endpoint": "http", "job": "kube-state-metrics", "namespace": "%[2]s", "pod": "%[3]s",
      "prometheus": "monitoring/k8s", "reason": "CrashLoopBackOff", "service": "kube-state-metrics", "severity": "warning",
      "uid": "0b4e4a2c-6a43-4f0b-8c74-2b6a8d2a5d4f"
    },
    "annotations": {
      "summary": "Pod is crash looping.",
      "description": "Pod %[2]s/%[3]s (web) is in waiting state (reason: CrashLoopBackOff).",
      "runbook_url": "https://runbooks.example/kubepodcrashlooping"
    },
    "startsAt": "2026-03-01T08:00:00.123Z", "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus-k8s-0:9090/graph?g0.expr=kube_pod_container_status_waiting_reason",
    "fingerprint": "5b1f7c1e8a3d9f02"
  }]
}`, alert, namespace, pod)
}

// labels of a metric.
type labels map[string]string

// scrape reads the metrics at an address and adds up one of them.
func scrape(ctx context.Context, url, metric string, counts func(labels) bool) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	return sum(response.Body, metric, counts)
}

// sum adds up the counters or gauges of a name.
func sum(metrics io.Reader, name string, counts func(labels) bool) (float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(metrics)
	if err != nil {
		return 0, fmt.Errorf("parse metrics: %w", err)
	}
	total := 0.0
	for _, m := range families[name].GetMetric() {
		l := labels{}
		for _, pair := range m.GetLabel() {
			l[pair.GetName()] = pair.GetValue()
		}
		if counts(l) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total, nil
}
