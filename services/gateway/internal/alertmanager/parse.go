package alertmanager

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Source is Alertmanager's name in metrics and audit events.
const Source = "alertmanager"

// version is the version of the webhook format; see
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
const version = "4"

// The states of an alert.
const (
	statusFiring   = "firing"
	statusResolved = "resolved"
)

// message is the body of the webhook. Fields that later Alertmanagers add are ignored.
type message struct {
	Version         string            `json:"version"`
	GroupKey        string            `json:"groupKey"`
	TruncatedAlerts uint64            `json:"truncatedAlerts"`
	Receiver        string            `json:"receiver"`
	GroupLabels     map[string]string `json:"groupLabels"`
	ExternalURL     string            `json:"externalURL"`
	Alerts          []json.RawMessage `json:"alerts"`
}

type alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// provided holds what Alertmanager sent beyond the fields of a signal.
type provided struct {
	Receiver     string            `json:"receiver,omitempty"`
	GroupKey     string            `json:"groupKey,omitempty"`
	ExternalURL  string            `json:"externalURL,omitempty"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Fingerprint  string            `json:"fingerprint,omitempty"`
	GroupLabels  map[string]string `json:"groupLabels,omitempty"`
}

// Parse reads a body of Alertmanager's webhook, format 4. An error is a
// *signal.InvalidError that names every invalid field, and means that no alert
// of the body is usable. If only some are unusable, there is no error, and
// their observations are marked as invalid.
func Parse(body []byte, receivedAt time.Time) (*signal.Notification, error) {
	var m message
	var wrong fieldErrors
	if !decode(&wrong, "", body, &m) {
		return nil, wrong.invalid()
	}
	if m.Version != version {
		wrong.addf("version", "want %q, the format of Alertmanager's webhook, got %q", version, signal.Clean(m.Version, signal.MaxSeverity))
	}
	if len(m.Alerts) == 0 {
		wrong.addf("alerts", "is required: at least one alert")
	}
	n := &signal.Notification{
		Source:       Source,
		Group:        signal.Clean(m.GroupKey, signal.MaxValue),
		Receiver:     signal.Clean(m.Receiver, signal.MaxName),
		Truncated:    m.TruncatedAlerts,
		Observations: make([]signal.Observation, 0, len(m.Alerts)),
	}
	usable := 0
	for i, raw := range m.Alerts {
		o := m.observe(fmt.Sprintf("alerts[%d]", i), raw, receivedAt)
		if o.Invalid == nil {
			usable++
		}
		n.Observations = append(n.Observations, o)
	}
	if usable == 0 {
		for _, o := range n.Observations {
			wrong.add(o.Invalid)
		}
	}
	if invalid := wrong.invalid(); invalid != nil {
		return nil, invalid
	}
	return n, nil
}

// observe reads one alert of the body.
func (m *message) observe(path string, raw json.RawMessage, receivedAt time.Time) signal.Observation {
	var wrong fieldErrors
	var a alert
	if !decode(&wrong, path, raw, &a) {
		return signal.Observation{Invalid: wrong.invalid()}
	}
	a.check(&wrong, path)
	o := signal.Observation{
		Cluster:    signal.Clean(a.Labels["cluster"], signal.MaxName),
		Resolved:   a.Status == statusResolved,
		ResolvedAt: a.resolvedAt(&wrong, path),
		Spec:       a.spec(m, raw, a.startsAt(&wrong, path), receivedAt),
	}
	if invalid := wrong.invalid(); invalid != nil {
		return signal.Observation{Invalid: invalid}
	}
	return o
}

// check reports missing and invalid fields.
func (a *alert) check(wrong *fieldErrors, path string) {
	switch a.Status {
	case statusFiring, statusResolved:
	case "":
		wrong.addf(path+".status", "is required: firing or resolved")
	default:
		wrong.addf(path+".status", "want firing or resolved, got %q", signal.Clean(a.Status, signal.MaxSeverity))
	}
	switch name := a.Labels["alertname"]; {
	case strings.TrimSpace(name) == "":
		wrong.addf(path+".labels.alertname", "is required: it names the problem")
	case len(name) > signal.MaxName:
		wrong.addf(path+".labels.alertname", "is %d bytes long: at most %d are taken", len(name), signal.MaxName)
	}
}

func (a *alert) startsAt(wrong *fieldErrors, path string) time.Time {
	path += ".startsAt"
	if a.StartsAt == "" {
		wrong.addf(path, "is required: an RFC 3339 time")
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, a.StartsAt)
	switch {
	case err != nil:
		wrong.addf(path, "want an RFC 3339 time, got %q", signal.Clean(a.StartsAt, signal.MaxSeverity))
	case t.UTC().Year() < 1970 || t.UTC().Year() > 9999:
		wrong.addf(path, "must lie between the years 1970 and 9999")
	}
	return t
}

// resolvedAt returns when a resolved alert ended. For a firing alert
// Alertmanager sends the year 1, or the time at which the alert would expire.
func (a *alert) resolvedAt(wrong *fieldErrors, path string) time.Time {
	if a.Status != statusResolved || a.EndsAt == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, a.EndsAt)
	if err != nil {
		wrong.addf(path+".endsAt", "want an RFC 3339 time, got %q", signal.Clean(a.EndsAt, signal.MaxSeverity))
	}
	return t.UTC()
}

func (a *alert) spec(m *message, raw json.RawMessage, firing, received time.Time) v1alpha1.RemediationRequestSpec {
	return v1alpha1.RemediationRequestSpec{
		Signal: v1alpha1.Signal{
			SignalName:   signal.Clean(a.Labels["alertname"], signal.MaxName),
			SignalType:   v1alpha1.SignalTypeAlert,
			SignalSource: m.source(),
			Severity:     signal.Clean(a.Labels["severity"], signal.MaxSeverity),
			FiringTime:   microTime(firing),
			ReceivedTime: microTime(received),
			Labels:       signal.Bounded(a.Labels),
			Annotations:  signal.Bounded(a.Annotations),
		},
		ProviderData:    a.providerData(m),
		OriginalPayload: payload(raw),
	}
}

// source names the sender: its external URL if it sent one, else the name of
// the receiver that its configuration gives to this Gateway.
func (m *message) source() string {
	for _, name := range []string{m.ExternalURL, m.Receiver} {
		if name != "" {
			return signal.Clean(name, signal.MaxName)
		}
	}
	return Source
}

func (a *alert) providerData(m *message) string {
	data := provided{
		Receiver:     signal.Clean(m.Receiver, signal.MaxName),
		GroupKey:     signal.Clean(m.GroupKey, signal.MaxValue),
		ExternalURL:  signal.Clean(m.ExternalURL, signal.MaxValue),
		GeneratorURL: signal.Clean(a.GeneratorURL, signal.MaxValue),
		Fingerprint:  signal.Clean(a.Fingerprint, signal.MaxName),
		GroupLabels:  signal.Bounded(m.GroupLabels),
	}
	text, err := json.Marshal(data)
	if err == nil && len(text) <= signal.MaxProviderData {
		return string(text)
	}
	// Truncated JSON is not JSON: leave the parts out that may be long.
	text, err = json.Marshal(provided{Receiver: data.Receiver, Fingerprint: data.Fingerprint})
	if err != nil {
		return ""
	}
	return string(text)
}

// payload returns the alert as it arrived, without insignificant space.
func payload(raw json.RawMessage) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return signal.Clean(string(raw), signal.MaxPayload)
	}
	return signal.Clean(compact.String(), signal.MaxPayload)
}

// microTime truncates to the precision of the resource, so that a request is
// the same before and after it was stored.
func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}
