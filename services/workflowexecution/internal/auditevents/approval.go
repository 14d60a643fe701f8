package auditevents

import (
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The events of a decision, and of what keeps an execution from its start.
const (
	TypeApprovalApproved   = "remediation.approval.approved"
	TypeApprovalRejected   = "remediation.approval.rejected"
	TypeApprovalExpired    = "remediation.approval.expired"
	TypeGuardRailTriggered = "remediation.guardrail.triggered"
)

type decided struct {
	Execution    string                   `json:"execution"`
	ExecutionUID types.UID                `json:"execution_uid"`
	Workflow     v1alpha1.WorkflowRef     `json:"workflow"`
	Target       v1alpha1.ExecutionTarget `json:"target"`
	PlanDigest   string                   `json:"plan_digest"`
	Reason       string                   `json:"reason,omitempty"`
	Message      string                   `json:"message,omitempty"`
	Rail         string                   `json:"rail,omitempty"`
	DecidedBy    []v1alpha1.Decider       `json:"decided_by,omitempty"`
	Admission    string                   `json:"admission_sha256,omitempty"`
	PolicySHA256 string                   `json:"policy_sha256,omitempty"`
	PolicyOrigin string                   `json:"policy_origin,omitempty"`
}

func decision(wfe *v1alpha1.WorkflowExecution) decided {
	return decided{
		Execution: wfe.Name, ExecutionUID: wfe.UID, Workflow: wfe.Spec.Workflow, Target: wfe.Spec.Target,
		PlanDigest: wfe.Spec.PlanDigest, Admission: wfe.Spec.Admission,
	}
}

// ExecutionDecided records that persons approved or rejected, or that the policy approved: then
// there are none, and the data names the policy. The last person is the actor; the data names
// all, with their groups.
func ExecutionDecided(wfe *v1alpha1.WorkflowExecution, verdict v1alpha1.Verdict, by []v1alpha1.Decider, reason string) (*audit.Event, error) {
	c := Content{Type: TypeApprovalApproved, Action: "approve", Outcome: audit.OutcomeSuccess}
	if verdict == v1alpha1.VerdictReject {
		c.Type, c.Action = TypeApprovalRejected, "reject"
	}
	data := decision(wfe)
	data.Reason, data.DecidedBy = reason, by
	switch policy := wfe.Spec.Policy; {
	case len(by) > 0:
		c.Actor = Person(by[len(by)-1])
	case policy != nil:
		data.PolicySHA256, data.PolicyOrigin = policy.SHA256, policy.Origin
	}
	c.Data = data
	return OfExecution(wfe, c)
}

// ExecutionExpired records that nobody decided in time.
func ExecutionExpired(wfe *v1alpha1.WorkflowExecution) (*audit.Event, error) {
	return OfExecution(wfe, Content{Type: TypeApprovalExpired, Action: "expire", Outcome: audit.OutcomeSuccess, Data: decision(wfe)})
}

// guarded is the data of TypeGuardRailTriggered about a proposal that is about to be made.
type guarded struct {
	Execution string                   `json:"execution"`
	Workflow  v1alpha1.WorkflowRef     `json:"workflow"`
	Target    v1alpha1.ExecutionTarget `json:"target"`
	// Rail is the guard rail, and Message why it triggered.
	Rail    string `json:"rail"`
	Message string `json:"message"`
}

// PersonRequired records that a guard rail makes a person decide on a proposal that is about to
// be made.
func PersonRequired(rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution, message string) (*audit.Event, error) {
	return OfRequest(rr, Content{Type: TypeGuardRailTriggered, Action: "require_person", Outcome: audit.OutcomeSuccess, Data: guarded{
		Execution: wfe.Name, Workflow: wfe.Spec.Workflow, Target: wfe.Spec.Target, Rail: wfe.Spec.GuardRail, Message: message,
	}})
}

// GuardRailTriggered records that a guard rail keeps an execution from its start.
func GuardRailTriggered(wfe *v1alpha1.WorkflowExecution, rail, message string) (*audit.Event, error) {
	data := decision(wfe)
	data.Rail, data.Message = rail, message
	return OfExecution(wfe, Content{Type: TypeGuardRailTriggered, Action: "block", Outcome: audit.OutcomeSuccess, Data: data})
}
