package reconstruct

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
)

// The event types that change what a request is.
const (
	typeCreated       = "gateway.crd.created"
	typeReceived      = "gateway.signal.received"
	typeDeduplicated  = "gateway.signal.deduplicated"
	typeResolved      = "gateway.signal.resolved"
	typeTransition    = "signalprocessing.phase.transition"
	typeEnriched      = "signalprocessing.enrichment.completed"
	typeClassified    = "signalprocessing.classification.decision"
	typeBusiness      = "signalprocessing.business.classified"
	typeProcessed     = "signalprocessing.signal.processed"
	typeReclassified  = "signalprocessing.request.reclassified"
	typeSkippedBySP   = "signalprocessing.request.skipped"
	typeSelected      = "remediation.workflow.selected"
	typeRequested     = "remediation.approval.requested"
	typeApproved      = "remediation.approval.approved"
	typeStarted       = "workflowexecution.execution.started"
	typeExecuted      = "workflowexecution.execution.completed"
	typeFailed        = "workflowexecution.execution.failed"
	typeVerifying     = "remediation.verification.started"
	typeEffective     = "remediation.verification.passed"
	typeIneffective   = "remediation.verification.failed"
	typeReview        = "remediation.manual_review.required"
	typeRetried       = "remediation.request.retried"
	typeClosed        = "remediation.request.closed"
	typeCompleted     = "remediation.request.completed"
	typeSkipped       = "remediation.request.skipped"
	resourceProcessed = "SignalProcessing"
)

// created is the data of typeCreated.
type created struct {
	Name      string                           `json:"name"`
	Namespace string                           `json:"namespace"`
	UID       types.UID                        `json:"uid"`
	Spec      *v1alpha1.RemediationRequestSpec `json:"spec"`
}

// signal is the data of typeReceived, typeDeduplicated and typeResolved.
type signal struct {
	Instance    string                  `json:"instance"`
	Severity    string                  `json:"severity"`
	Target      v1alpha1.TargetResource `json:"target_resource"`
	FiringTime  *time.Time              `json:"firing_time"`
	NewSeverity string                  `json:"new_severity"`
	Ignored     bool                    `json:"ignored"`
	// Count and what follows stand for many signals that changed nothing.
	Count     int64      `json:"count"`
	Last      *time.Time `json:"last_received_time"`
	Instances []struct {
		ID string `json:"id"`
	} `json:"instances"`
}

// processed is the data of typeProcessed.
type processed struct {
	Phase       v1alpha1.ProcessingPhase `json:"phase"`
	Severity    v1alpha1.Severity        `json:"severity"`
	Environment v1alpha1.Environment     `json:"environment"`
	Priority    v1alpha1.Priority        `json:"priority"`
}

// reclassified is the data of typeReclassified.
type reclassified struct {
	Severity struct {
		New v1alpha1.Severity `json:"new"`
	} `json:"severity"`
	Priority struct {
		New v1alpha1.Priority `json:"new"`
	} `json:"priority"`
	Raised bool `json:"raised"`
}

// step is what the events of a remediation have in common.
type step struct {
	From       v1alpha1.RemediationPhase `json:"from"`
	To         v1alpha1.RemediationPhase `json:"to"`
	Reason     string                    `json:"reason"`
	Message    string                    `json:"message"`
	Execution  string                    `json:"execution"`
	CommandUID types.UID                 `json:"command_uid"`
	FinishedAt *time.Time                `json:"execution_finished_at"`
}

// proposal is the data of typeRequested.
type proposal struct {
	Execution string                `json:"execution"`
	Approval  v1alpha1.ApprovalMode `json:"approval"`
	Workflow  v1alpha1.WorkflowRef  `json:"workflow"`
}
