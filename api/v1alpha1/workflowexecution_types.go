package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// AnnotationExecution marks a target that an execution has changed: its value is the
// execution's UID. It is written in the same patch as the change.
const AnnotationExecution = "kubernaut.ai/execution"

// FinalizerJob keeps an execution until its Job is deleted.
const FinalizerJob = "kubernaut.ai/job"

// LabelRequest names the request of an execution.
const LabelRequest = "kubernaut.ai/request"

// Namespaces and their opt-in.
const (
	// LabelRemediation on a namespace opts in to executions; without it there are only proposals.
	LabelRemediation = "kubernaut.ai/remediation"

	// RemediationEnabled: executions after an approval by a person.
	RemediationEnabled = "enabled"
	// RemediationAuto: a policy may approve, too.
	RemediationAuto = "auto"
	// RemediationPaused: no new executions.
	RemediationPaused = "paused"
)

// ExecutionPhase is where an execution stands.
// +kubebuilder:validation:Enum=Proposed;Approved;Executing;Verifying;Succeeded;Failed;Rejected;Expired;Invalidated
type ExecutionPhase string

// The phases of an execution. One without a status is Proposed.
const (
	// ExecutionProposed waits for a decision; where only proposals are allowed, it stays here.
	ExecutionProposed ExecutionPhase = "Proposed"
	// ExecutionApproved may start.
	ExecutionApproved ExecutionPhase = "Approved"
	// ExecutionExecuting was started.
	ExecutionExecuting ExecutionPhase = "Executing"
	// ExecutionVerifying is over; its effect is being observed.
	ExecutionVerifying ExecutionPhase = "Verifying"
	// ExecutionSucceeded ended, with an outcome.
	ExecutionSucceeded ExecutionPhase = "Succeeded"
	// ExecutionFailed could not be carried out, or nobody knows whether it was.
	ExecutionFailed ExecutionPhase = "Failed"
	// ExecutionRejected was rejected by a person.
	ExecutionRejected ExecutionPhase = "Rejected"
	// ExecutionExpired was not decided in time.
	ExecutionExpired ExecutionPhase = "Expired"
	// ExecutionInvalidated no longer fits: the target, workflow, policy or problem changed.
	ExecutionInvalidated ExecutionPhase = "Invalidated"
)

// Terminal reports whether the execution has ended.
func (p ExecutionPhase) Terminal() bool {
	switch p {
	case ExecutionSucceeded, ExecutionFailed, ExecutionRejected, ExecutionExpired, ExecutionInvalidated:
		return true
	case "", ExecutionProposed, ExecutionApproved, ExecutionExecuting, ExecutionVerifying:
	}
	return false
}

// Outcome says whether an execution helped.
// +kubebuilder:validation:Enum=Effective;Ineffective;Inconclusive
type Outcome string

// The outcomes.
const (
	OutcomeEffective    Outcome = "Effective"
	OutcomeIneffective  Outcome = "Ineffective"
	OutcomeInconclusive Outcome = "Inconclusive"
)

// ApprovalMode says who decides on a proposal.
// +kubebuilder:validation:Enum=required;auto;none
type ApprovalMode string

const (
	// ApprovalRequired leaves the decision to a person.
	ApprovalRequired ApprovalMode = "required"
	// ApprovalAuto is the approval of the policy.
	ApprovalAuto ApprovalMode = "auto"
	// ApprovalNone lets nobody approve; the proposal tells what could be done.
	ApprovalNone ApprovalMode = "none"
)

// ObjectRef refers to an object and to what it was.
type ObjectRef struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	UID types.UID `json:"uid"`
}

// ExecutionTarget is the object that an execution changes.
type ExecutionTarget struct {
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`

	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// Namespace is empty for cluster-scoped objects.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// UID and Generation of the object at the time of the proposal.
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation"`
}

// WorkflowRef names a workflow in the namespace of workflows and what it was.
type WorkflowRef struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// SHA256 is the hex digest of the workflow's spec.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	SHA256 string `json:"sha256"`

	// Risk of the workflow.
	Risk Risk `json:"risk"`
}

// ExecutionParameter is a parameter with its value.
type ExecutionParameter struct {
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_]{0,62}$`
	Name string `json:"name"`

	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// WorkflowExecutionSpec is a proposal.
type WorkflowExecutionSpec struct {
	// Request that the execution is about, in the same namespace.
	Request ObjectRef `json:"request"`

	Target ExecutionTarget `json:"target"`

	Workflow WorkflowRef `json:"workflow"`

	// Parameters, resolved: defaults are filled in.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Parameters []ExecutionParameter `json:"parameters,omitempty"`

	// Reason is why the workflow was selected.
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	// Policy selected the workflow; none did for a rollback.
	// +optional
	Policy *Policy `json:"policy,omitempty"`

	// Approval says who decides.
	Approval ApprovalMode `json:"approval"`

	// ApprovalReason says why.
	// +kubebuilder:validation:MaxLength=1024
	ApprovalReason string `json:"approvalReason"`

	// GuardRail names the guard rail for which a person has to decide; empty without one.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	GuardRail string `json:"guardRail,omitempty"`

	// Change is the difference that the server-side dry run showed, or what a Job will run.
	// +kubebuilder:validation:MaxLength=16384
	Change string `json:"change"`

	// PlanDigest is the hex SHA-256 over what is approved: the target's UID, the workflow's
	// digest, the parameters, and the values of the fields that the plan depends on and changes.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	PlanDigest string `json:"planDigest"`

	// Admission is the hex SHA-256 of the admission policies on decisions, as they were before
	// the proposal was made. A decision counts only if they are still the same. It is empty if
	// they were not what the platform ships: then no decision counts.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	// +optional
	Admission string `json:"admission,omitempty"`

	// RunbookURL is the alert's own.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	RunbookURL string `json:"runbookURL,omitempty"`

	// RollbackOf names the execution whose lack of effect this one answers.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RollbackOf string `json:"rollbackOf,omitempty"`

	// ExpiresAt is when the proposal expires.
	ExpiresAt metav1.MicroTime `json:"expiresAt"`
}

// ExecutionApproval is who decided.
type ExecutionApproval struct {
	// By are the persons who decided, in the order of their decisions; the policy's
	// approval has none.
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	By []Decider `json:"by,omitempty"`

	// At is when the decision was acted on.
	At metav1.MicroTime `json:"at"`

	// Reason that was given.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Reason string `json:"reason,omitempty"`
}

// ExecutionVerification is how the effect was observed.
type ExecutionVerification struct {
	StartedAt metav1.MicroTime `json:"startedAt"`

	// ResolvedAt is when every instance had resolved or was gone.
	// +optional
	ResolvedAt *metav1.MicroTime `json:"resolvedAt,omitempty"`

	// StableAt is when the stabilization ends.
	// +optional
	StableAt *metav1.MicroTime `json:"stableAt,omitempty"`

	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`

	// Message says what is being waited for, or what was found.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// WorkflowExecutionStatus is what became of a proposal.
type WorkflowExecutionStatus struct {
	// +kubebuilder:default=Proposed
	// +optional
	Phase ExecutionPhase `json:"phase,omitempty"`

	// Reason is a word for why the execution stands there.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Reason string `json:"reason,omitempty"`

	// Message says it in a sentence.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// +optional
	Approval *ExecutionApproval `json:"approval,omitempty"`

	// ReminderSentAt is when people were reminded of the decision.
	// +optional
	ReminderSentAt *metav1.MicroTime `json:"reminderSentAt,omitempty"`

	// StartedAt is when the execution was recorded as started, before anything was touched.
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`

	// FinishedAt is when it was over; alerts that began before it tell nothing about its effect.
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`

	// TargetGenerationBefore is the target's generation when the execution started.
	// +optional
	TargetGenerationBefore int64 `json:"targetGenerationBefore,omitempty"`

	// TargetGeneration is the target's generation after the execution.
	// +optional
	TargetGeneration int64 `json:"targetGeneration,omitempty"`

	// Outcome says whether it helped.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`

	// Before is what the workflow's condition selects from `before`, the target before the execution, as
	// a JSON document. It has no commands, arguments or environment variables.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	Before string `json:"before,omitempty"`

	// LogTail is the last 2 KiB of the Job's log, redacted.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	LogTail string `json:"logTail,omitempty"`

	// +optional
	Verification *ExecutionVerification `json:"verification,omitempty"`

	// Conditions are GuardRail.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WorkflowExecution is a proposal and what became of it. Only the service that remediates
// may create one or write its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wfe,categories=kubernaut
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request.name`
// +kubebuilder:printcolumn:name="Workflow",type=string,JSONPath=`.spec.workflow.name`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.target.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target.name`
// +kubebuilder:printcolumn:name="Approval",type=string,JSONPath=`.spec.approval`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
type WorkflowExecution struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the proposal. It is immutable: approvals refer to it.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: another proposal is another execution"
	Spec WorkflowExecutionSpec `json:"spec"`

	// +kubebuilder:default={}
	// +optional
	Status WorkflowExecutionStatus `json:"status,omitempty"`
}

// WorkflowExecutionList is a list of executions.
//
// +kubebuilder:object:root=true
type WorkflowExecutionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WorkflowExecution `json:"items"`
}
