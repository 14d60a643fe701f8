package auditevents

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/quota"
)

// QuotaExceeded is the type of the event that signals got no request of their own.
const QuotaExceeded = "gateway.quota.exceeded"

type quotaData struct {
	Bound     string    `json:"bound"`
	Limit     int       `json:"limit"`
	Sender    string    `json:"sender,omitempty"`
	Namespace string    `json:"namespace"`
	Signals   int64     `json:"signals"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// RecordQuotaExceeded records, on the trail of the overflow request, that
// signals became members of it.
func RecordQuotaExceeded(ctx context.Context, r Recorder, x *quota.Exceedance) error {
	data, err := json.Marshal(quotaData{
		Bound: string(x.Why.Bound), Limit: x.Why.Limit, Sender: printable.Storable(x.Why.Problem.Sender, maxIdentity),
		Namespace: x.Why.Problem.Namespace, Signals: x.Signals, FirstSeen: x.First.UTC(), LastSeen: x.Last.UTC(),
	})
	if err != nil {
		return fmt.Errorf("encode %s: %w", QuotaExceeded, err)
	}
	err = r.Record(ctx, &audit.Event{
		Type:          QuotaExceeded,
		Category:      category,
		Action:        "exceeded",
		Outcome:       audit.OutcomeFailure,
		Severity:      severityWarning,
		CorrelationID: x.Overflow.Name,
		ActorType:     actorService,
		ActorID:       actorName,
		ResourceType:  requestKind,
		ResourceID:    x.Overflow.Name,
		Namespace:     x.Overflow.Namespace,
		Data:          data,
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", QuotaExceeded, err)
	}
	return nil
}
