package auditevents

import (
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

// started is the data of TypeExecutionStarted.
type started struct {
	executed

	// GenerationBefore is the target's generation before anything is touched.
	GenerationBefore int64 `json:"generation_before"`
	// Change is the difference that was approved, as a unified diff.
	Change string `json:"change"`
}

// ExecutionStarted records that the execution is about to touch the target.
func ExecutionStarted(wfe *v1alpha1.WorkflowExecution, s Started) (*audit.Event, error) {
	return OfExecution(wfe, Content{Type: TypeExecutionStarted, Action: "start", Outcome: audit.OutcomePending, Actor: worker(s.Account), Data: started{
		describe(wfe, s.Account), s.Generation, s.Change,
	}})
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
	return OfExecution(wfe, Content{
		Type: TypeExecutionCompleted, Action: "complete", Outcome: audit.OutcomeSuccess, Actor: worker(e.Account),
		Data: endedOf(wfe, e), Sensitive: e.Log != "",
	})
}

// ExecutionFailed records that the execution failed, or that nobody knows what it did.
func ExecutionFailed(wfe *v1alpha1.WorkflowExecution, e Ended) (*audit.Event, error) {
	return OfExecution(wfe, Content{
		Type: TypeExecutionFailed, Action: "fail", Outcome: audit.OutcomeFailure, Actor: worker(e.Account),
		ErrorCode: e.Reason, ErrorMessage: e.Message, Data: endedOf(wfe, e), Sensitive: e.Log != "",
	})
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

// worker is the actor of what is done with the rights of a workflow's service account.
func worker(account string) Actor {
	if account == "" {
		return Actor{}
	}
	return Person(v1alpha1.Decider{Name: account})
}
