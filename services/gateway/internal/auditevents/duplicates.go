package auditevents

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/pkg/audit"
)

// Duplicates are the signals of one request that were too many to be recorded
// one by one, and changed nothing.
type Duplicates struct {
	Request     types.NamespacedName `json:"-"`
	Fingerprint string               `json:"fingerprint"`
	SignalName  string               `json:"signal_name"`
	// Count is how many firing signals there were, Resolved how many repeated the end of an instance.
	Count    int64 `json:"count"`
	Resolved int64 `json:"resolved,omitempty"`
	// First and Last are when the first and the last of them arrived.
	First time.Time `json:"first_received_time"`
	Last  time.Time `json:"last_received_time"`
	// Instances are those that the signals were about.
	Instances []InstanceCount `json:"instances"`
	// More counts the signals about other instances than those listed.
	More int64 `json:"more,omitempty"`
}

// InstanceCount is how many signals there were about one instance.
type InstanceCount struct {
	ID    string `json:"id"`
	Count int64  `json:"count"`
}

// RecordDuplicates records signals together.
func RecordDuplicates(ctx context.Context, r Recorder, d *Duplicates) error {
	return record(ctx, r, &audit.Event{
		Type:          SignalDeduplicated,
		Action:        "deduplicated",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: d.Request.Name,
		ActorType:     actorService,
		ActorID:       actorName,
		ResourceType:  requestKind,
		ResourceID:    d.Request.Name,
		Namespace:     d.Request.Namespace,
	}, d)
}
