package alertmanager

import (
	"encoding/json"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/signal"
)

// observations makes the signals of the alerts that were kept.
type observations struct {
	message    *message
	alerts     []entry
	bare       bool
	receivedAt time.Time
}

// Len implements signal.Observations.
func (o *observations) Len() int { return len(o.alerts) }

// Size implements signal.Observations.
func (o *observations) Size(index int) int { return len(o.alerts[index].text) }

// At implements signal.Observations.
func (o *observations) At(index int) signal.Observation {
	e := &o.alerts[index]
	if e.invalid != nil {
		return signal.Observation{Index: e.index, Invalid: e.invalid}
	}
	var a alert
	if invalid := a.decode("", e.text, o.bare); invalid != nil {
		return signal.Observation{Index: e.index, Invalid: invalid}
	}
	start, note := signal.Start("startsAt", string(a.StartsAt), o.receivedAt)
	firing := start
	if note != "" {
		firing = o.receivedAt
	}
	seen := signal.Observation{
		Index:        e.index,
		Labels:       a.Labels,
		Cluster:      printable.Storable(a.Labels["cluster"], signal.MaxName),
		StartsAt:     start,
		StartsAtNote: note,
		Resolved:     a.resolved(o.bare, o.receivedAt),
		Spec:         a.spec(o.message, e.text, firing, o.receivedAt),
	}
	if seen.Resolved {
		seen.ResolvedAt = a.resolvedAt()
	}
	return seen
}

// provided holds what the sender sent beyond the fields of a signal.
type provided struct {
	Receiver     string            `json:"receiver,omitempty"`
	GroupKey     string            `json:"groupKey,omitempty"`
	ExternalURL  string            `json:"externalURL,omitempty"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Fingerprint  string            `json:"fingerprint,omitempty"`
	GroupLabels  map[string]string `json:"groupLabels,omitempty"`
}

func (a *alert) spec(m *message, text []byte, firing, received time.Time) v1alpha1.RemediationRequestSpec {
	return v1alpha1.RemediationRequestSpec{
		Signal: v1alpha1.Signal{
			SignalName:   signal.Shown(a.Labels["alertname"], signal.MaxName),
			SignalType:   v1alpha1.SignalTypeAlert,
			SignalSource: m.source(),
			Severity:     signal.Shown(a.Labels["severity"], signal.MaxSeverity),
			FiringTime:   signal.MicroTime(firing),
			ReceivedTime: signal.MicroTime(received),
			Labels:       signal.Bounded(a.Labels),
			Annotations:  signal.Bounded(a.Annotations),
		},
		ProviderData:    a.providerData(m),
		OriginalPayload: signal.Payload(text),
	}
}

// source names the sender: its external URL if it sent one, else the name of
// the receiver that its configuration gives to this Gateway.
func (m *message) source() string {
	for _, name := range []string{m.ExternalURL, m.Receiver} {
		if name != "" {
			return signal.Shown(name, signal.MaxName)
		}
	}
	return Source
}

func (a *alert) providerData(m *message) string {
	data := provided{
		Receiver:     m.Receiver,
		GroupKey:     m.GroupKey,
		ExternalURL:  m.ExternalURL,
		GeneratorURL: printable.Storable(a.GeneratorURL, signal.MaxValue),
		Fingerprint:  printable.Storable(a.Fingerprint, signal.MaxName),
		GroupLabels:  m.GroupLabels,
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
