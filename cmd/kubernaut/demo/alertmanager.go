package demo

import (
	"bytes"
	"context"
	_ "embed" // for notification
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The states of an alert.
const (
	firing   = "firing"
	resolved = "resolved"
)

// maxAnswer bounds what is read of the Gateway's answer.
const maxAnswer = 1 << 20

// notification is a webhook body as an unmodified Alertmanager v0.34.2 sent it, about a pod that the
// demo fills in.
//
//go:embed alert.json.tmpl
var notification string

// alert is what the demo fills into the notification.
type alert struct {
	Status, Pod, UID, Fingerprint, StartsAt, EndsAt string
}

// First says whether the notification is the first one about the alert.
func (a *alert) First() bool { return a.Status == firing }

// alertAbout is an alert that begins to fire.
func alertAbout(pod *corev1.Pod, began time.Time) alert {
	labels := model.LabelSet{
		"alertname": signalName, "container": container, "job": "kube-state-metrics", "namespace": namespace,
		"pod": model.LabelValue(pod.Name), "severity": "critical", "uid": model.LabelValue(pod.UID),
	}
	return alert{
		Status: firing, Pod: pod.Name, UID: string(pod.UID), Fingerprint: labels.Fingerprint().String(),
		StartsAt: began.UTC().Format(time.RFC3339Nano), EndsAt: time.Time{}.Format(time.RFC3339Nano),
	}
}

// end resolves the alert.
func (a *alert) end(ended time.Time) {
	a.Status, a.EndsAt = resolved, ended.UTC().Format(time.RFC3339Nano)
}

func (a *alert) body() ([]byte, error) {
	parsed, err := template.New("alert").Parse(notification)
	if err != nil {
		return nil, fmt.Errorf("read the notification: %w", err)
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, a); err != nil {
		return nil, fmt.Errorf("write the notification: %w", err)
	}
	return text.Bytes(), nil
}

// send posts the alert and returns the request that the Gateway found or made for it.
func (d *demo) send(ctx context.Context) (types.NamespacedName, error) {
	address := d.At.Gateway + "/api/v1/signals/prometheus"
	body, err := d.alert.body()
	if err != nil {
		return types.NamespacedName{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("send the alert to %s: %w", address, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("send the alert: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("read the Gateway's answer: %w", err)
	}
	var answer struct {
		Status    string `json:"status"`
		Name      string `json:"remediationRequestName"`
		Namespace string `json:"remediationRequestNamespace"`
	}
	if err := json.Unmarshal(answered, &answer); err != nil || answer.Name == "" {
		return types.NamespacedName{}, fmt.Errorf("the Gateway answered %s: %s", resp.Status, strings.TrimSpace(string(answered)))
	}
	d.sayf("POST %s\n  alert %s about pod %s/%s, status %s, as Alertmanager sends it\n  %s: %s",
		address, signalName, namespace, d.alert.Pod, d.alert.Status, resp.Status, answer.Status)
	return types.NamespacedName{Namespace: answer.Namespace, Name: answer.Name}, nil
}
