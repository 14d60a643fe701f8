package auditevents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// Category of every event of this service.
const Category = "signalprocessing"

// The types of the events.
const (
	TypePhaseTransition        = "signalprocessing.phase.transition"
	TypeEnrichmentCompleted    = "signalprocessing.enrichment.completed"
	TypeClassificationDecision = "signalprocessing.classification.decision"
	TypeBusinessClassified     = "signalprocessing.business.classified"
	TypeSignalProcessed        = "signalprocessing.signal.processed"
	TypeErrorOccurred          = "signalprocessing.error.occurred"
	TypeRequestReclassified    = "signalprocessing.request.reclassified"
	TypeRequestSkipped         = "signalprocessing.request.skipped"
	TypeRequestDeleted         = "signalprocessing.request.deleted"
	TypePolicyLoaded           = "signalprocessing.policy.loaded"
	TypePolicyRejected         = "signalprocessing.policy.rejected"
)

const (
	actorType = "service"
	actorID   = "signalprocessing"
)

// Step identifies one step of one resource. Event ids are derived from the step
// and from the content of the event.
type Step struct {
	// Resource being processed.
	Resource *v1alpha1.SignalProcessing
	// Phase that the resource is in before the step.
	Phase v1alpha1.ProcessingPhase
	// Attempt is the number of attempts in this phase that have failed so far.
	Attempt int32
	// Severities is the number of severities that decisions take into account so
	// far: processing that begins again because of a new one makes other steps.
	Severities int
}

// StepOf returns the next step of a resource according to its status.
func StepOf(sp *v1alpha1.SignalProcessing) Step {
	phase := sp.Status.Phase
	if phase == "" {
		phase = v1alpha1.ProcessingPending
	}
	return Step{Resource: sp, Phase: phase, Attempt: sp.Status.Attempt, Severities: len(sp.Status.Severities)}
}

// content is the part of an event that its id is derived from.
type content struct {
	Type         string          `json:"type"`
	Action       string          `json:"action"`
	Outcome      audit.Outcome   `json:"outcome"`
	Severity     string          `json:"severity"`
	ErrorCode    string          `json:"error_code"`
	ErrorMessage string          `json:"error_message"`
	Data         json.RawMessage `json:"data"`
}

// event builds an event of the step. took is the duration of the step's work; it
// is not part of the event's identity.
func (s Step) event(c content, data any, took *time.Duration) (*audit.Event, error) {
	sp := s.Resource
	e, err := build(sp, "SignalProcessing", c, data, strconv.FormatInt(sp.Generation, 10), string(s.Phase),
		strconv.FormatInt(int64(s.Attempt), 10), strconv.Itoa(s.Severities))
	if err != nil {
		return nil, err
	}
	e.CorrelationID, e.Duration = sp.Spec.RemediationRequestRef.Name, took
	return e, nil
}

// build makes an event about a resource, whose name is the correlation id of its
// trail unless the caller says otherwise. state identifies the state that the
// resource leaves.
func build(resource metav1.Object, resourceType string, c content, data any, state ...string) (*audit.Event, error) {
	encoded, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode data of %s: %w", c.Type, err)
	}
	c.Data = encoded
	identity, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Type, err)
	}
	digest := sha256.Sum256(identity)
	parts := append([]string{string(resource.GetUID())}, state...)
	return &audit.Event{
		ID:            audit.DerivedID(resource.GetCreationTimestamp().Time, append(parts, c.Type, hex.EncodeToString(digest[:]))...),
		Type:          c.Type,
		Category:      Category,
		Action:        c.Action,
		Outcome:       c.Outcome,
		CorrelationID: resource.GetName(),
		Data:          encoded,
		ActorType:     actorType,
		ActorID:       actorID,
		ResourceType:  resourceType,
		ResourceID:    resource.GetName(),
		Namespace:     resource.GetNamespace(),
		Severity:      c.Severity,
		ErrorCode:     c.ErrorCode,
		ErrorMessage:  c.ErrorMessage,
	}, nil
}
