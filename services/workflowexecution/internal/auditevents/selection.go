package auditevents

import (
	"encoding/json"
	"strings"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The types of the events about a selection.
const (
	TypeWorkflowSelected  = "remediation.workflow.selected"
	TypeApprovalRequested = "remediation.approval.requested"
)

// codePolicyError is the error code of an answer that cannot be used.
const codePolicyError = "policy_error"

// maxInput bounds an input that an event carries, in bytes.
const maxInput = 32 << 10

// Evidence is what a selection is based on.
type Evidence struct {
	Policy v1alpha1.Policy
	// Input is the policy's input in JSON, and InputSHA256 the hex digest of that.
	Input       json.RawMessage
	InputSHA256 string
	// PolicyError says why the answer cannot be used; empty if it can.
	PolicyError string
}

// Choice is the policy's answer.
type Choice struct {
	Workflow   string            `json:"workflow"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Approval   string            `json:"approval"`
	Reason     string            `json:"reason"`
}

// selected is the data of TypeWorkflowSelected.
type selected struct {
	Choice

	PolicySHA256 string `json:"policy_sha256,omitempty"`
	PolicyOrigin string `json:"policy_origin,omitempty"`
	InputSHA256  string `json:"input_sha256,omitempty"`
	// Input has the labels and annotations of the signal and its target. It is left out if it
	// is too large: then InputOmitted is true.
	Input        json.RawMessage `json:"policy_input,omitempty"`
	InputOmitted bool            `json:"policy_input_omitted,omitempty"`
	PolicyError  string          `json:"policy_error,omitempty"`
	RollbackOf   string          `json:"rollback_of,omitempty"`
}

// Selected records what the policy answers. Without a workflow it selects none.
func Selected(rr *v1alpha1.RemediationRequest, c Choice, e Evidence, rollbackOf string) (*audit.Event, error) {
	data := selected{
		Choice: c, PolicySHA256: e.Policy.SHA256, PolicyOrigin: e.Policy.Origin, InputSHA256: e.InputSHA256,
		Input: e.Input, PolicyError: e.PolicyError, RollbackOf: rollbackOf,
	}
	if len(e.Input) > maxInput {
		data.Input, data.InputOmitted = nil, true
	}
	content := Content{Type: TypeWorkflowSelected, Action: "select", Outcome: audit.OutcomeSuccess, Data: data, Sensitive: len(data.Input) > 0}
	if e.PolicyError != "" {
		content.Outcome, content.ErrorCode, content.ErrorMessage = audit.OutcomeFailure, codePolicyError, strings.TrimSpace(e.PolicyError)
	}
	return OfRequest(rr, content)
}

// requested is the data of TypeApprovalRequested.
type requested struct {
	Execution      string                        `json:"execution"`
	Workflow       v1alpha1.WorkflowRef          `json:"workflow"`
	Target         v1alpha1.ExecutionTarget      `json:"target"`
	Parameters     []v1alpha1.ExecutionParameter `json:"parameters,omitempty"`
	PlanDigest     string                        `json:"plan_digest"`
	Change         string                        `json:"change"`
	Approval       v1alpha1.ApprovalMode         `json:"approval"`
	ApprovalReason string                        `json:"approval_reason"`
	RollbackOf     string                        `json:"rollback_of,omitempty"`
}

// ApprovalRequested records a proposal that is about to be made, and who may decide on it.
func ApprovalRequested(rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution) (*audit.Event, error) {
	s := &wfe.Spec
	return OfRequest(rr, Content{
		Type: TypeApprovalRequested, Action: "propose", Outcome: audit.OutcomePending,
		Data: requested{
			Execution: wfe.Name, Workflow: s.Workflow, Target: s.Target, Parameters: s.Parameters, PlanDigest: s.PlanDigest, Change: s.Change,
			Approval: s.Approval, ApprovalReason: s.ApprovalReason, RollbackOf: s.RollbackOf,
		},
	})
}
