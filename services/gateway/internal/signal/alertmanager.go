package signal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

// alertmanagerVersion is the version of the webhook format; see
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
const alertmanagerVersion = "4"

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

// provided is what Alertmanager sent beyond the fields of a signal.
type provided struct {
	Receiver     string            `json:"receiver,omitempty"`
	GroupKey     string            `json:"groupKey,omitempty"`
	ExternalURL  string            `json:"externalURL,omitempty"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Fingerprint  string            `json:"fingerprint,omitempty"`
	GroupLabels  map[string]string `json:"groupLabels,omitempty"`
}

// ParseAlertmanager reads a body of Alertmanager's webhook, format 4. The
// error is an *InvalidError that names every unusable field; then no signal of
// the body can be understood. One unusable alert does not take the others with
// it: it is an observation that is invalid.
func ParseAlertmanager(body []byte, receivedAt time.Time) (*Notification, error) {
	var m message
	var wrong complaints
	if !decode(&wrong, "", body, &m) {
		return nil, wrong.invalid()
	}
	if m.Version != alertmanagerVersion {
		wrong.addf("version", "want %q, the format of Alertmanager's webhook, got %q", alertmanagerVersion, Clean(m.Version, maxSeverity))
	}
	if len(m.Alerts) == 0 {
		wrong.addf("alerts", "is required: at least one alert")
	}
	n := &Notification{
		Source:       SourceAlertmanager,
		Group:        Clean(m.GroupKey, maxValue),
		Receiver:     Clean(m.Receiver, maxName),
		Truncated:    m.TruncatedAlerts,
		Observations: make([]Observation, 0, len(m.Alerts)),
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
func (m *message) observe(path string, raw json.RawMessage, receivedAt time.Time) Observation {
	var wrong complaints
	var a alert
	if !decode(&wrong, path, raw, &a) {
		return Observation{Invalid: wrong.invalid()}
	}
	a.check(&wrong, path)
	o := Observation{
		Cluster:    Clean(a.Labels["cluster"], maxName),
		Resolved:   a.Status == statusResolved,
		ResolvedAt: a.resolvedAt(&wrong, path),
		Spec:       a.spec(m, raw, a.startsAt(&wrong, path), receivedAt),
	}
	if invalid := wrong.invalid(); invalid != nil {
		return Observation{Invalid: invalid}
	}
	return o
}

// check complains about missing and unusable fields.
func (a *alert) check(wrong *complaints, path string) {
	switch a.Status {
	case statusFiring, statusResolved:
	case "":
		wrong.addf(path+".status", "is required: firing or resolved")
	default:
		wrong.addf(path+".status", "want firing or resolved, got %q", Clean(a.Status, maxSeverity))
	}
	switch name := a.Labels["alertname"]; {
	case strings.TrimSpace(name) == "":
		wrong.addf(path+".labels.alertname", "is required: it names the problem")
	case len(name) > maxName:
		wrong.addf(path+".labels.alertname", "is %d bytes long: at most %d are taken", len(name), maxName)
	}
}

func (a *alert) startsAt(wrong *complaints, path string) time.Time {
	path += ".startsAt"
	if a.StartsAt == "" {
		wrong.addf(path, "is required: an RFC 3339 time")
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, a.StartsAt)
	switch {
	case err != nil:
		wrong.addf(path, "want an RFC 3339 time, got %q", Clean(a.StartsAt, maxSeverity))
	case t.UTC().Year() < 1970 || t.UTC().Year() > 9999:
		wrong.addf(path, "must lie between the years 1970 and 9999")
	}
	return t
}

// resolvedAt is the end of a resolved alert. A firing one has none: there
// Alertmanager sends the year 1, or the time at which it would time out.
func (a *alert) resolvedAt(wrong *complaints, path string) time.Time {
	if a.Status != statusResolved || a.EndsAt == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, a.EndsAt)
	if err != nil {
		wrong.addf(path+".endsAt", "want an RFC 3339 time, got %q", Clean(a.EndsAt, maxSeverity))
	}
	return t.UTC()
}

func (a *alert) spec(m *message, raw json.RawMessage, firing, received time.Time) v1alpha1.RemediationRequestSpec {
	name := Clean(a.Labels["alertname"], maxName)
	return v1alpha1.RemediationRequestSpec{
		Signal: v1alpha1.Signal{
			SignalName:     name,
			SignalType:     v1alpha1.SignalTypeAlert,
			SignalSource:   m.source(),
			Severity:       Clean(a.Labels["severity"], maxSeverity),
			TargetResource: target(a.Labels, name),
			FiringTime:     microTime(firing),
			ReceivedTime:   microTime(received),
			Labels:         bounded(a.Labels),
			Annotations:    bounded(a.Annotations),
		},
		ProviderData:    a.providerData(m),
		OriginalPayload: payload(raw),
	}
}

// source names the sender: its address where it tells it, else the receiver
// that its configuration gives to this Gateway.
func (m *message) source() string {
	for _, name := range []string{m.ExternalURL, m.Receiver} {
		if name != "" {
			return Clean(name, maxName)
		}
	}
	return SourceAlertmanager
}

func (a *alert) providerData(m *message) string {
	data := provided{
		Receiver:     Clean(m.Receiver, maxName),
		GroupKey:     Clean(m.GroupKey, maxValue),
		ExternalURL:  Clean(m.ExternalURL, maxValue),
		GeneratorURL: Clean(a.GeneratorURL, maxValue),
		Fingerprint:  Clean(a.Fingerprint, maxName),
		GroupLabels:  bounded(m.GroupLabels),
	}
	text, err := json.Marshal(data)
	if err == nil && len(text) <= maxProviderData {
		return string(text)
	}
	// A document that is cut is no document: the parts that may be long go.
	text, err = json.Marshal(provided{Receiver: data.Receiver, Fingerprint: data.Fingerprint})
	if err != nil {
		return ""
	}
	return string(text)
}

// payload keeps the alert as it arrived, without insignificant space.
func payload(raw json.RawMessage) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return Clean(string(raw), maxPayload)
	}
	return Clean(compact.String(), maxPayload)
}

// microTime keeps what the resource keeps, so that a request reads the same
// before and after it was stored.
func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}

// decode reads one JSON value and nothing after it, and reports whether it could.
func decode(wrong *complaints, path string, text []byte, into any) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(into)
	if err == nil {
		if _, rest := d.Token(); !errors.Is(rest, io.EOF) {
			wrong.addf(at(path, ""), "there is more after the JSON document")
			return false
		}
		return true
	}
	var mismatch *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &mismatch):
		wrong.addf(at(path, mismatch.Field), "want %s, got %s", jsonKind(mismatch), mismatch.Value)
	case errors.As(err, &syntax):
		wrong.addf(at(path, ""), "not a JSON document: %v at byte %d", syntax, syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		wrong.addf(at(path, ""), "not a JSON document: it ends too early")
	default:
		wrong.addf(at(path, ""), "not usable: %s", Clean(err.Error(), maxName))
	}
	return false
}

// at joins a path; the whole document is called body.
func at(path, field string) string {
	switch {
	case path == "" && field == "":
		return "body"
	case path == "":
		return field
	case field == "":
		return path
	default:
		return path + "." + field
	}
}

// jsonKind names the JSON type that a field wants.
func jsonKind(e *json.UnmarshalTypeError) string {
	kinds := map[reflect.Kind]string{reflect.String: "a string", reflect.Slice: "an array", reflect.Uint64: "a count"}
	if kind, ok := kinds[e.Type.Kind()]; ok {
		return kind
	}
	return "an object"
}
