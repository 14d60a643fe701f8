package heartbeat

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/target"
)

// The signal of a lost heartbeat.
const (
	SignalName = "HeartbeatLost"
	// Source of the signal, in metrics and audit events.
	Source = "heartbeat"

	severityCritical = "critical"
)

// Loss is an expected heartbeat that stays away.
type Loss struct {
	// Heartbeat names the alerts that are missing.
	Heartbeat string
	// Namespace that they are about; empty if it is the whole cluster.
	Namespace string
	// LastSeen is when one arrived, or when they began to be expected.
	LastSeen time.Time
	// Since is when one was overdue.
	Since time.Time

	labels map[string]string
	digest string
}

// loss is what a record says about a lost heartbeat.
func (b *Beat) loss(r record) *Loss {
	return &Loss{
		Heartbeat: b.String(), Namespace: b.Namespace(), LastSeen: r.seen().UTC(), Since: r.lostSince(),
		labels: b.Labels, digest: b.digest(),
	}
}

// ID identifies the loss: it differs from that of any other.
func (l *Loss) ID() string { return l.digest + "-" + l.Since.UTC().Format("20060102T150405.000000Z") }

// observation is the signal that reports the loss or its end. Apart from the time
// of receipt it is the same whichever replica makes it.
func (l *Loss) observation(now time.Time, resolved bool) *signal.Observation {
	labels := map[string]string{}
	maps.Copy(labels, l.labels)
	labels["alertname"], labels["severity"], labels["heartbeat"] = SignalName, severityCritical, l.Heartbeat
	payload, err := json.Marshal(map[string]any{"heartbeat": l.Heartbeat, "last_seen": l.LastSeen, "lost_since": l.Since})
	if err != nil {
		payload = []byte("{}") // texts and times can be encoded
	}
	about := v1alpha1.TargetResource{Kind: target.KindUnknown, Name: l.Heartbeat, Namespace: l.Namespace}
	return &signal.Observation{
		Target:   &about,
		Labels:   labels,
		Resolved: resolved,
		Spec: v1alpha1.RemediationRequestSpec{
			Signal: v1alpha1.Signal{
				SignalName: SignalName, SignalType: v1alpha1.SignalTypeAlert, SignalSource: Source, Severity: severityCritical,
				FiringTime:   metav1.NewMicroTime(l.Since),
				ReceivedTime: metav1.NewMicroTime(now.UTC().Truncate(time.Microsecond)),
				Labels:       labels,
				Annotations: map[string]string{
					"summary": fmt.Sprintf("The heartbeat %s has not arrived since %s", l.Heartbeat, l.LastSeen.Format(time.RFC3339)),
					"description": "Whatever sends it may be unable to report anything else: check Prometheus, Alertmanager, the route to the Gateway, " +
						"and whether the alert is still defined.",
				},
			},
			OriginalPayload: string(payload),
		},
	}
}
