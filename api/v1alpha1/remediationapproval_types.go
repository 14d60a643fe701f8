package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Verdict is a decision about a proposal.
// +kubebuilder:validation:Enum=Approve;Reject
type Verdict string

// The verdicts.
const (
	VerdictApprove Verdict = "Approve"
	VerdictReject  Verdict = "Reject"
)

// Decider is the person who decides, as the API server authenticated them. An admission
// policy compares it with the author of the request.
type Decider struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name"`

	// UID is empty if the API server knows none.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	UID string `json:"uid,omitempty"`

	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	// +listType=atomic
	// +optional
	Groups []string `json:"groups,omitempty"`
}

// RemediationApprovalSpec is a decision.
type RemediationApprovalSpec struct {
	// Execution that is decided on, in the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Execution string `json:"execution"`

	ExecutionUID types.UID `json:"executionUID"`

	// PlanDigest is what is decided on, as the execution has it.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	PlanDigest string `json:"planDigest"`

	Verdict Verdict `json:"verdict"`

	// Reason is for those who read the trail.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	DecidedBy Decider `json:"decidedBy"`
}

// RemediationApproval is a decision about a proposal. It is created, never edited. Its name
// is the execution's UID, so the first decision wins; the second of two required approvals
// is named <UID>-2.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=ra,categories=kubernaut
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.executionUID || self.metadata.name == self.spec.executionUID + '-2'",message="the name must be the execution's UID, or the UID and -2"
// +kubebuilder:printcolumn:name="Execution",type=string,JSONPath=`.spec.execution`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.spec.verdict`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.decidedBy.name`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RemediationApproval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: a decision is never edited"
	Spec RemediationApprovalSpec `json:"spec"`
}

// RemediationApprovalList is a list of decisions.
//
// +kubebuilder:object:root=true
type RemediationApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RemediationApproval `json:"items"`
}
