package webhook

import (
	"time"

	"kubernaut.ai/services/gateway/internal/alertmanager"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/kubernetesevent"
	"kubernaut.ai/services/gateway/internal/signal"
)

// The paths of the routes.
const (
	// PathPrometheus is the path of Alertmanager's webhook.
	PathPrometheus = "/api/v1/signals/prometheus"
	// PathKubernetesEvent is the path for events of Kubernetes.
	PathKubernetesEvent = "/api/v1/signals/kubernetes-event"
)

// Adapter is the entrance of one kind of sender.
type Adapter struct {
	// Path of the route.
	Path string
	// Source is the kind of sender, as in metrics and audit events.
	Source string
	// Parse makes signals of a body. It never talks to a cluster. Its error is a
	// *signal.InvalidError, or comes from the body's Read.
	Parse func(b *body.Reader, receivedAt time.Time) (*signal.Notification, error)
}

// KubernetesEvents is the adapter for events of Kubernetes.
func KubernetesEvents() Adapter {
	return Adapter{PathKubernetesEvent, kubernetesevent.Source, kubernetesevent.Parse}
}

// adapters are all kinds of senders.
func adapters() []Adapter {
	return []Adapter{
		{PathPrometheus, alertmanager.Source, alertmanager.Parse},
		// Prometheus and vmalert append the path of Alertmanager's API to the address that they notify.
		{PathPrometheus + "/api/v2/alerts", alertmanager.Source, alertmanager.Parse},
		KubernetesEvents(),
	}
}
