package auditevents

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/heartbeat"
)

// The types of the events about expected heartbeats.
const (
	HeartbeatLost     = "gateway.heartbeat.lost"
	HeartbeatRestored = "gateway.heartbeat.restored"
)

const (
	severityCritical  = "critical"
	heartbeatResource = "Heartbeat"
)

// Heartbeats records what became of expected heartbeats. Each event depends on the
// loss and its request only, so that all replicas record the same one.
type Heartbeats struct{ recorder Recorder }

// NewHeartbeats returns the recorder of events about heartbeats.
func NewHeartbeats(r Recorder) *Heartbeats { return &Heartbeats{recorder: r} }

type heartbeatData struct {
	Heartbeat string    `json:"heartbeat"`
	Namespace string    `json:"namespace,omitempty"`
	LastSeen  time.Time `json:"last_seen"`
	LostSince time.Time `json:"lost_since"`
	Request   string    `json:"remediation_request,omitempty"`
}

// Lost records that an expected heartbeat stays away, under the request about it.
func (h *Heartbeats) Lost(ctx context.Context, request types.NamespacedName, loss *heartbeat.Loss) error {
	return h.record(ctx, request, loss, &audit.Event{
		Type: HeartbeatLost, Action: "lost", Outcome: audit.OutcomeFailure, Severity: severityCritical,
	})
}

// Restored records that it is back.
func (h *Heartbeats) Restored(ctx context.Context, request types.NamespacedName, loss *heartbeat.Loss) error {
	return h.record(ctx, request, loss, &audit.Event{Type: HeartbeatRestored, Action: "restored", Outcome: audit.OutcomeSuccess})
}

func (h *Heartbeats) record(ctx context.Context, request types.NamespacedName, loss *heartbeat.Loss, e *audit.Event) error {
	text, err := json.Marshal(heartbeatData{
		Heartbeat: loss.Heartbeat, Namespace: loss.Namespace, LastSeen: loss.LastSeen, LostSince: loss.Since, Request: request.Name,
	})
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	e.ID = audit.DerivedID(loss.Since, loss.ID(), e.Type, request.Name)
	e.Category, e.Data = category, text
	e.ActorType, e.ActorID = actorService, actorName
	e.ResourceType, e.ResourceID = heartbeatResource, printable.Storable(loss.Heartbeat, maxIdentity)
	e.CorrelationID, e.Namespace = request.Name, request.Namespace
	if request.Name == "" {
		e.CorrelationID, e.Namespace = "heartbeat-"+loss.ID(), loss.Namespace
	}
	if err := h.recorder.Record(ctx, e); err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}
