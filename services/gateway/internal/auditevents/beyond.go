package auditevents

import (
	"context"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/signal"
)

// beyondData is the event_data of a signal.truncated event about the signals that
// the Gateway left out of a body.
type beyondData struct {
	Delivery        string `json:"delivery"`
	Source          string `json:"source"`
	TruncatedAlerts int    `json:"truncated_alerts"`
	// AtLeast means that the body went on after the last byte that was read.
	AtLeast  bool   `json:"at_least,omitempty"`
	Taken    int    `json:"taken"`
	Group    string `json:"group,omitempty"`
	Receiver string `json:"receiver,omitempty"`
}

// Beyond records that a body had signals beyond its bounds, which were not
// taken. The event has the delivery's correlation id: which problems the signals
// are about is unknown.
func (d *Delivery) Beyond(ctx context.Context, n *signal.Notification) error {
	return d.record(ctx, &audit.Event{
		Type:          SignalTruncated,
		Action:        "truncated",
		Outcome:       audit.OutcomeFailure,
		Severity:      severityWarning,
		CorrelationID: d.ID(),
		ActorType:     actorSource,
		ActorID:       d.actor(),
		ActorIP:       d.origin.Address,
	}, beyondData{
		Delivery: d.ID(), Source: d.origin.Source, TruncatedAlerts: n.Beyond.Signals, AtLeast: n.Beyond.Cut,
		Taken: n.Observations.Len(), Group: n.Group, Receiver: n.Receiver,
	})
}
