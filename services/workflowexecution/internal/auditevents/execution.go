package auditevents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The events of an execution.
const (
	TypeExecutionStarted   = "workflowexecution.execution.started"
	TypeExecutionCompleted = "workflowexecution.execution.completed"
	TypeExecutionFailed    = "workflowexecution.execution.failed"
)

const (
	executionCategory = "workflowexecution"
	executionKind     = "WorkflowExecution"
	// maxExecutionError is the longest error message of an event, in bytes.
	maxExecutionError = 4096
)

// executed is what all events of an execution say: what is done to which object, with
// whose rights, and on whose approval.
type executed struct {
	Execution      string                        `json:"execution"`
	ExecutionUID   types.UID                     `json:"execution_uid"`
	Workflow       v1alpha1.WorkflowRef          `json:"workflow"`
	ServiceAccount string                        `json:"service_account"`
	Target         v1alpha1.ExecutionTarget      `json:"target"`
	PlanDigest     string                        `json:"plan_digest"`
	Parameters     []v1alpha1.ExecutionParameter `json:"parameters,omitempty"`
	Approval       *v1alpha1.ExecutionApproval   `json:"approval,omitempty"`
}

// Started is what an execution begins with.
type Started struct {
	// Account is the username with whose rights the workflow works.
	Account string
	// Generation of the target before anything is touched.
	Generation int64
	// Change is the difference that was approved.
	Change string
}

// ExecutionStarted records that the execution is about to touch the target.
func ExecutionStarted(wfe *v1alpha1.WorkflowExecution, s Started) (*audit.Event, error) {
	return execution(wfe, s.Account, eventContent{Type: TypeExecutionStarted, Action: "start", Outcome: audit.OutcomePending}, struct {
		executed

		GenerationBefore int64  `json:"generation_before"`
		Change           string `json:"change"`
	}{describe(wfe, s.Account), s.Generation, s.Change})
}

// Ended is how an execution ended.
type Ended struct {
	Account string
	// GenerationBefore and GenerationAfter are the target's; 0 if unknown.
	GenerationBefore, GenerationAfter int64
	// Job is the name of the Job, and Log the end of its log, redacted; empty without one.
	Job, Log string
	// Reason and Message say why the execution failed. Outcome is Inconclusive if nobody
	// knows whether it took place.
	Reason, Message string
	Outcome         v1alpha1.Outcome
}

type ended struct {
	executed

	GenerationBefore int64            `json:"generation_before"`
	GenerationAfter  int64            `json:"generation_after"`
	Job              string           `json:"job,omitempty"`
	Log              string           `json:"log,omitempty"`
	Reason           string           `json:"reason,omitempty"`
	Message          string           `json:"message"`
	Outcome          v1alpha1.Outcome `json:"outcome,omitempty"`
}

// ExecutionCompleted records that the change was made, or the Job succeeded.
func ExecutionCompleted(wfe *v1alpha1.WorkflowExecution, e Ended) (*audit.Event, error) {
	return execution(wfe, e.Account, eventContent{Type: TypeExecutionCompleted, Action: "complete", Outcome: audit.OutcomeSuccess}, endedOf(wfe, e))
}

// ExecutionFailed records that the execution failed, or that nobody knows what it did.
func ExecutionFailed(wfe *v1alpha1.WorkflowExecution, e Ended) (*audit.Event, error) {
	return execution(wfe, e.Account, eventContent{
		Type: TypeExecutionFailed, Action: "fail", Outcome: audit.OutcomeFailure, ErrorCode: e.Reason, ErrorMessage: shorten(e.Message, maxExecutionError),
	}, endedOf(wfe, e))
}

func endedOf(wfe *v1alpha1.WorkflowExecution, e Ended) ended {
	return ended{
		executed: describe(wfe, e.Account), GenerationBefore: e.GenerationBefore, GenerationAfter: e.GenerationAfter,
		Job: e.Job, Log: e.Log, Reason: e.Reason, Message: e.Message, Outcome: e.Outcome,
	}
}

func describe(wfe *v1alpha1.WorkflowExecution, account string) executed {
	return executed{
		Execution: wfe.Name, ExecutionUID: wfe.UID, Workflow: wfe.Spec.Workflow, ServiceAccount: account,
		Target: wfe.Spec.Target, PlanDigest: wfe.Spec.PlanDigest, Parameters: wfe.Spec.Parameters, Approval: wfe.Status.Approval,
	}
}

// eventContent is the part of an event that its id is derived from.
type eventContent struct {
	Type         string          `json:"type"`
	Action       string          `json:"action"`
	Outcome      audit.Outcome   `json:"outcome"`
	ErrorCode    string          `json:"error_code,omitempty"`
	ErrorMessage string          `json:"error_message,omitempty"`
	Data         json.RawMessage `json:"data"`
}

// execution makes an event of the step that leaves the execution's phase. The actor is the
// service account that does the work.
func execution(wfe *v1alpha1.WorkflowExecution, account string, c eventContent, data any) (*audit.Event, error) {
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
	return &audit.Event{
		ID:            audit.DerivedID(entered(wfe), string(wfe.UID), string(wfe.Status.Phase), c.Type, hex.EncodeToString(digest[:])),
		Type:          c.Type,
		Category:      executionCategory,
		Action:        c.Action,
		Outcome:       c.Outcome,
		CorrelationID: wfe.Spec.Request.Name,
		Data:          encoded,
		ActorType:     "service_account",
		ActorID:       shorten(account, 255),
		ResourceType:  executionKind,
		ResourceID:    wfe.Name,
		Namespace:     wfe.Namespace,
		ErrorCode:     c.ErrorCode,
		ErrorMessage:  c.ErrorMessage,
	}, nil
}

// entered is when the execution entered the phase that it is in.
func entered(wfe *v1alpha1.WorkflowExecution) time.Time {
	switch s := &wfe.Status; {
	case s.StartedAt != nil:
		return s.StartedAt.Time
	case s.Approval != nil:
		return s.Approval.At.Time
	default:
		return wfe.CreationTimestamp.Time
	}
}

// shorten cuts a text to a number of bytes, at a character's boundary.
func shorten(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && text[size]&0xC0 == 0x80 {
		size--
	}
	return text[:size]
}

// TypeApprovalInvalidated is of an approval that no longer fits what it was given for.
const TypeApprovalInvalidated = "remediation.approval.invalidated"

// ExecutionInvalidated records that an execution ends before its start, because the target
// or the workflow is not what was approved.
func ExecutionInvalidated(wfe *v1alpha1.WorkflowExecution, reason, message string) (*audit.Event, error) {
	e, err := execution(wfe, "workflowexecution", eventContent{
		Type: TypeApprovalInvalidated, Action: "invalidate", Outcome: audit.OutcomeSuccess,
	}, struct {
		Execution    string                   `json:"execution"`
		ExecutionUID types.UID                `json:"execution_uid"`
		Workflow     v1alpha1.WorkflowRef     `json:"workflow"`
		Target       v1alpha1.ExecutionTarget `json:"target"`
		PlanDigest   string                   `json:"plan_digest"`
		Reason       string                   `json:"reason"`
		Message      string                   `json:"message"`
	}{wfe.Name, wfe.UID, wfe.Spec.Workflow, wfe.Spec.Target, wfe.Spec.PlanDigest, reason, message})
	if err != nil {
		return nil, err
	}
	e.Category, e.ActorType = "remediation", "service"
	return e, nil
}
