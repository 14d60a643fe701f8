package v1alpha1

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Risk is how much harm a workflow could do. A workflow of high risk can be made to need
// two approvals.
// +kubebuilder:validation:Enum=low;medium;high
type Risk string

// The risks.
const (
	RiskLow    Risk = "low"
	RiskMedium Risk = "medium"
	RiskHigh   Risk = "high"
)

// GitOps says what a workflow may do to a target that Argo CD or Flux manages.
// +kubebuilder:validation:Enum=propose;allow
type GitOps string

const (
	// GitOpsPropose makes a proposal with a hint, and never acts: the default.
	GitOpsPropose GitOps = "propose"
	// GitOpsAllow acts as on any other target.
	GitOpsAllow GitOps = "allow"
)

// ParameterType is the type of a parameter's value, which is written as text.
// +kubebuilder:validation:Enum=string;integer;boolean;duration
type ParameterType string

// The types of parameters.
const (
	ParameterString   ParameterType = "string"
	ParameterInteger  ParameterType = "integer"
	ParameterBoolean  ParameterType = "boolean"
	ParameterDuration ParameterType = "duration"
)

// AppliesTo selects the problems that a workflow may be proposed for. All parts have to match.
type AppliesTo struct {
	// Signals are names of signals, for example KubePodCrashLooping. "*" stands for any.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	Signals []string `json:"signals"`

	// Kinds are the kinds of the target's top owner.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	Kinds []WorkflowKind `json:"kinds"`

	// NamespaceSelector selects namespaces by label; absent selects all that opted in.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Severities that the workflow is meant for; empty stands for any.
	// +kubebuilder:validation:MaxItems=5
	// +listType=set
	// +optional
	Severities []Severity `json:"severities,omitempty"`
}

// WorkflowKind names a kind of target.
type WorkflowKind struct {
	// APIVersion of the kind, for example apps/v1.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`

	// Kind, for example Deployment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
}

// WorkflowParameter is a value that the selection gives to a workflow. It never selects
// the object, namespace or service account that the workflow works with.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pattern) || self.type == 'string'",message="pattern is for parameters of type string"
// +kubebuilder:validation:XValidation:rule="!has(self.required) || !self.required || !has(self.default)",message="a required parameter has no default"
type WorkflowParameter struct {
	// Name of the parameter. A Job has it as environment variable, in upper case.
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_]{0,62}$`
	Name string `json:"name"`

	// Description tells an approver what the value does.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Description string `json:"description,omitempty"`

	Type ParameterType `json:"type"`

	// Required parameters have to be given.
	// +optional
	Required bool `json:"required,omitempty"`

	// Default is the value if none is given.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Default *string `json:"default,omitempty"`

	// Pattern is a regular expression (RE2) that the whole value has to match.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Pattern string `json:"pattern,omitempty"`

	// MaxLength of the value in bytes.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +kubebuilder:default=253
	// +optional
	MaxLength int32 `json:"maxLength,omitempty"`

	// Rule is a CEL expression over `value` (of the parameter's type) that has to be true.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Rule string `json:"rule,omitempty"`
}

// WorkflowAction is what the platform does by itself, in one conditional write.
//
// +kubebuilder:validation:XValidation:rule="(has(self.restart) ? 1 : 0) + (has(self.rollback) ? 1 : 0) + (has(self.scale) ? 1 : 0) == 1",message="exactly one of restart, rollback and scale is required"
type WorkflowAction struct {
	// Restart replaces the pods of a Deployment, StatefulSet or DaemonSet, as `kubectl rollout restart` does.
	// +optional
	Restart *RestartAction `json:"restart,omitempty"`

	// Rollback returns a Deployment to the pod template of its revision before, as `kubectl rollout undo` does.
	// +optional
	Rollback *RollbackAction `json:"rollback,omitempty"`

	// Scale changes the replicas of a Deployment or StatefulSet within bounds.
	// +optional
	Scale *ScaleAction `json:"scale,omitempty"`
}

// RestartAction has no options.
type RestartAction struct{}

// RollbackAction has no options: the revision is the one before the current one.
type RollbackAction struct{}

// ScaleAction bounds what the parameter `replicas` may ask for.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not exceed maxReplicas"
type ScaleAction struct {
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MinReplicas int32 `json:"minReplicas"`

	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxReplicas int32 `json:"maxReplicas"`
}

// WorkflowJob is a Job that the platform creates in the namespace of workflows.
type WorkflowJob struct {
	// RepeatIsHarmless says why running the program twice does no harm: Kubernetes may
	// start a Job's program more than once.
	// +kubebuilder:validation:MinLength=20
	// +kubebuilder:validation:MaxLength=1024
	RepeatIsHarmless string `json:"repeatIsHarmless"`

	// Template of the Job's pod. The platform sets the service account, restart policy, deadline,
	// parameters and name; a template that sets them otherwise is invalid.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Template batchv1.JobTemplateSpec `json:"template"`
}

// WorkflowVerification is how the effect of a workflow is verified, beside the alerts.
type WorkflowVerification struct {
	// Condition is a CEL expression over `target`, the live object, and `before`, the object before
	// the execution. It has to be true throughout the stabilization. Both lack the fields that may
	// contain secrets: `env`, `command`, `args` and `httpHeaders` of containers.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Condition string `json:"condition"`

	// TargetMayBeDeleted says that the workflow may delete its target. Once the target is gone, the
	// alerts alone decide; otherwise the outcome without a target is Inconclusive.
	// +optional
	TargetMayBeDeleted bool `json:"targetMayBeDeleted,omitempty"`
}

// RemediationWorkflowSpec is an entry of the catalog.
//
// +kubebuilder:validation:XValidation:rule="has(self.action) != has(self.job)",message="exactly one of action and job is required"
// +kubebuilder:validation:XValidation:rule="!has(self.action) || !has(self.action.scale) || (has(self.parameters) && self.parameters.exists(p, p.name == 'replicas' && p.type == 'integer'))",message="scale requires a parameter replicas of type integer"
type RemediationWorkflowSpec struct {
	// Description tells an approver what the workflow does.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Description string `json:"description"`

	AppliesTo AppliesTo `json:"appliesTo"`

	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Parameters []WorkflowParameter `json:"parameters,omitempty"`

	// Action is what the platform does; or else Job.
	// +optional
	Action *WorkflowAction `json:"action,omitempty"`

	// Job is what a program of the catalog does.
	// +optional
	Job *WorkflowJob `json:"job,omitempty"`

	// ServiceAccountName is the account, in the workflow's namespace, with whose rights the
	// workflow works.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the name of a service account in the workflow's own namespace, without a namespace"
	ServiceAccountName string `json:"serviceAccountName"`

	Risk Risk `json:"risk"`

	// Timeout of an execution, as a Go duration between 1 s and 1 h.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be between 1s and 1h"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitempty"`

	// CoolDown is how long after an execution on a target the workflow is not proposed for it again.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="must be between 0s and 168h"
	// +optional
	CoolDown metav1.Duration `json:"coolDown,omitempty"`

	// Stabilization is how long the alerts must stay resolved, and the condition true, before the
	// remediation counts as effective.
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be between 0s and 24h"
	// +optional
	Stabilization metav1.Duration `json:"stabilization,omitempty"`

	Verification WorkflowVerification `json:"verification"`

	// Rollback names the workflow that is proposed if this one was ineffective.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the name of a workflow in the same namespace, without a namespace"
	// +optional
	Rollback string `json:"rollback,omitempty"`

	// GitOps says what may be done to a target that Argo CD or Flux manages.
	// +kubebuilder:default=propose
	// +optional
	GitOps GitOps `json:"gitops,omitempty"`
}

// ConditionValid is true if a workflow can be selected; else its message says what is wrong.
const ConditionValid = "Valid"

// RemediationWorkflowStatus says whether the workflow can be used.
type RemediationWorkflowStatus struct {
	// ObservedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// SHA256 is the hex digest of the spec.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	// +optional
	SHA256 string `json:"sha256,omitempty"`

	// Conditions are Valid.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RemediationWorkflow is an entry of the catalog: what may be done about which problems,
// with which rights, and how its effect is verified.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rwf,categories=kubernaut
// +kubebuilder:printcolumn:name="Risk",type=string,JSONPath=`.spec.risk`
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.serviceAccountName`
// +kubebuilder:printcolumn:name="Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Valid")].message`
// +kubebuilder:printcolumn:name="Description",type=string,priority=1,JSONPath=`.spec.description`
type RemediationWorkflow struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RemediationWorkflowSpec `json:"spec"`

	// +optional
	Status RemediationWorkflowStatus `json:"status,omitempty"`
}

// RemediationWorkflowList is a list of workflows.
//
// +kubebuilder:object:root=true
type RemediationWorkflowList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RemediationWorkflow `json:"items"`
}
