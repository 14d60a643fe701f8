package auditevents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

const (
	actorType = "service"
	actorID   = "workflowexecution"

	resourceRequest   = "RemediationRequest"
	resourceExecution = "WorkflowExecution"

	// Bounds of an event's columns, in characters.
	maxActorID = 255
	maxMessage = 4096
)

// Actor is who did what an event says. The zero value is this service.
type Actor struct {
	// Type is user for people, and service or service_account for programs.
	Type string
	// ID is the authenticated name.
	ID string
}

// Person is the actor of a decision that the API server authenticated.
func Person(d v1alpha1.Decider) Actor {
	a := Actor{Type: "user", ID: wire.TruncateCharacters(d.Name, maxActorID)}
	if strings.HasPrefix(d.Name, "system:serviceaccount:") {
		a.Type = "service_account"
	}
	return a
}

// Content is what an event says. Its id is derived from all of it but Duration.
type Content struct {
	// Type has the category as its first word.
	Type    string
	Action  string
	Outcome audit.Outcome
	Actor   Actor
	// Severity, ErrorCode and ErrorMessage are optional.
	Severity     string
	ErrorCode    string
	ErrorMessage string
	// Data is encoded as a JSON object.
	Data any
	// Sensitive marks Data as not to be shown in diagnostics.
	Sensitive bool
	// Duration of the action, optional; it is not part of the event's identity.
	Duration *time.Duration
}

// identity is the part of an event that its id is derived from.
type identity struct {
	Type         string          `json:"type"`
	Action       string          `json:"action"`
	Outcome      audit.Outcome   `json:"outcome"`
	ActorType    string          `json:"actor_type"`
	ActorID      string          `json:"actor_id"`
	Severity     string          `json:"severity"`
	ErrorCode    string          `json:"error_code"`
	ErrorMessage string          `json:"error_message"`
	Data         json.RawMessage `json:"data"`
}

// OfExecution makes an event about an execution in the state that it has. Repeated for the
// same state and content it is the same event. state tells apart what the content does not.
func OfExecution(wfe *v1alpha1.WorkflowExecution, c Content, state ...string) (*audit.Event, error) {
	phase := wfe.Status.Phase
	if phase == "" {
		phase = v1alpha1.ExecutionProposed
	}
	e, err := build(c, wfe.CreationTimestamp.Time, append([]string{string(wfe.UID), string(phase)}, state...))
	if err != nil {
		return nil, err
	}
	e.CorrelationID, e.Namespace = wfe.Spec.Request.Name, wfe.Namespace
	e.ResourceType, e.ResourceID = resourceExecution, wfe.Name
	return e, nil
}

// OfRequest makes an event about a request in the state that it has: its phase, the execution
// that it refers to, and what made it select a workflow the last time.
func OfRequest(rr *v1alpha1.RemediationRequest, c Content, state ...string) (*audit.Event, error) {
	if c.Severity == "" {
		c.Severity = string(rr.Status.Severity)
	}
	s := &rr.Status
	parts := append([]string{string(rr.UID), string(s.Phase), s.ExecutionRef, string(s.LastCommand), string(s.SelectedSeverity)}, state...)
	e, err := build(c, rr.CreationTimestamp.Time, parts)
	if err != nil {
		return nil, err
	}
	e.CorrelationID, e.Namespace = rr.Name, rr.Namespace
	e.ResourceType, e.ResourceID = resourceRequest, rr.Name
	return e, nil
}

func build(c Content, at time.Time, state []string) (*audit.Event, error) {
	data, err := json.Marshal(c.Data)
	if err != nil {
		return nil, fmt.Errorf("encode data of %s: %w", c.Type, err)
	}
	if c.Actor == (Actor{}) {
		c.Actor = Actor{Type: actorType, ID: actorID}
	}
	c.ErrorMessage = wire.TruncateCharacters(c.ErrorMessage, maxMessage)
	text, err := json.Marshal(identity{
		Type: c.Type, Action: c.Action, Outcome: c.Outcome, ActorType: c.Actor.Type, ActorID: c.Actor.ID,
		Severity: c.Severity, ErrorCode: c.ErrorCode, ErrorMessage: c.ErrorMessage, Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Type, err)
	}
	digest := sha256.Sum256(text)
	parts := append([]string{strconv.Itoa(len(state))}, state...)
	return &audit.Event{
		ID:       audit.DerivedID(at, append(parts, c.Type, hex.EncodeToString(digest[:]))...),
		Type:     c.Type,
		Category: categoryOf(c.Type), Action: c.Action, Outcome: c.Outcome,
		ActorType: c.Actor.Type, ActorID: c.Actor.ID,
		Severity: c.Severity, ErrorCode: c.ErrorCode, ErrorMessage: c.ErrorMessage,
		Data: data, Sensitive: c.Sensitive, Duration: c.Duration,
	}, nil
}

// categoryOf is the first word of a type: remediation, or workflowexecution.
func categoryOf(eventType string) string {
	category, _, _ := strings.Cut(eventType, ".")
	return category
}
