package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ProcessingPhase is where the processing of a signal stands.
// +kubebuilder:validation:Enum=Pending;Enriching;Classifying;Categorizing;Completed;Failed
type ProcessingPhase string

// The phases of signal processing, in their order. A resource without a
// status is Pending.
const (
	ProcessingPending      ProcessingPhase = "Pending"
	ProcessingEnriching    ProcessingPhase = "Enriching"
	ProcessingClassifying  ProcessingPhase = "Classifying"
	ProcessingCategorizing ProcessingPhase = "Categorizing"
	ProcessingCompleted    ProcessingPhase = "Completed"
	ProcessingFailed       ProcessingPhase = "Failed"
)

// Terminal reports whether processing has ended for this generation.
func (p ProcessingPhase) Terminal() bool {
	return p == ProcessingCompleted || p == ProcessingFailed
}

// The condition types of a SignalProcessing.
const (
	ConditionEnrichmentComplete     = "EnrichmentComplete"
	ConditionClassificationComplete = "ClassificationComplete"
	ConditionCategorizationComplete = "CategorizationComplete"
	ConditionReady                  = "Ready"
)

// RemediationRequestReference names the request that a signal belongs to; it
// lives in the same namespace.
type RemediationRequestReference struct {
	// Name of the request, which is also the correlation id of its audit trail.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// UID of the request.
	UID types.UID `json:"uid"`
}

// SignalProcessingSpec is what to process. A change of it is a new generation
// and is processed anew.
type SignalProcessingSpec struct {
	// RemediationRequestRef names the request that this signal belongs to.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="remediationRequestRef is immutable"
	RemediationRequestRef RemediationRequestReference `json:"remediationRequestRef"`

	// Signal is the request's signal.
	Signal Signal `json:"signal"`
}

// OwnerReference is one link of the target's owner chain, nearest owner first.
type OwnerReference struct {
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// EnrichedContext is what the cluster knows about the target.
type EnrichedContext struct {
	// Degraded is true when the target was not found; the classification then
	// rests on the signal and on the namespace alone.
	Degraded bool `json:"degraded"`

	// DegradedReason says what was missing.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	DegradedReason string `json:"degradedReason,omitempty"`

	// OwnerChain leads from the target to its top owner, nearest first.
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	OwnerChain []OwnerReference `json:"ownerChain,omitempty"`

	// TargetLabels are the labels of the target.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	TargetLabels map[string]string `json:"targetLabels,omitempty"`

	// NamespaceLabels are the labels of the target's namespace.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`

	// NamespaceAnnotations are those annotations of the target's namespace that policies read.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	NamespaceAnnotations map[string]string `json:"namespaceAnnotations,omitempty"`

	// NodeName is the node that the target runs on, or the target itself where it is a node.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`

	// NodeLabels are the labels of that node.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	NodeLabels map[string]string `json:"nodeLabels,omitempty"`

	// Protection lists what guards or scales the target.
	// +optional
	Protection Protection `json:"protection,omitempty"`
}

// Protection lists the objects that guard or scale the target, by name, each list bounded.
type Protection struct {
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	HorizontalPodAutoscalers []string `json:"horizontalPodAutoscalers,omitempty"`
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	PodDisruptionBudgets []string `json:"podDisruptionBudgets,omitempty"`
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	NetworkPolicies []string `json:"networkPolicies,omitempty"`
	// ServiceMesh names the mesh that the target is part of, for example "istio" or "linkerd".
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ServiceMesh string `json:"serviceMesh,omitempty"`
	// GitOpsTool names the tool that owns the target's manifest, for example "argocd" or "flux".
	// +kubebuilder:validation:MaxLength=63
	// +optional
	GitOpsTool string `json:"gitOpsTool,omitempty"`
}

// SignalProcessingStatus is what processing has found out.
type SignalProcessingStatus struct {
	// Phase is where processing stands.
	// +optional
	Phase ProcessingPhase `json:"phase,omitempty"`

	// ObservedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Attempt counts the failed attempts of the present phase.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Attempt int32 `json:"attempt,omitempty"`

	// Message says in a sentence what happened last.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// StartedAt is when processing of this generation began.
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`

	// CompletedAt is when it ended.
	// +optional
	CompletedAt *metav1.MicroTime `json:"completedAt,omitempty"`

	// Severities are the severities, as the source said them, that the decisions
	// take into account: the worst result counts. A severity that the request
	// lists and this does not makes processing classify the signal again.
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	Severities []string `json:"severities,omitempty"`

	// Context is what the cluster knows about the target.
	// +optional
	Context *EnrichedContext `json:"context,omitempty"`

	// Severity is the classified severity.
	// +optional
	Severity *SeverityDecision `json:"severity,omitempty"`

	// Environment is the classified environment.
	// +optional
	Environment *EnvironmentDecision `json:"environment,omitempty"`

	// Priority is the assigned priority.
	// +optional
	Priority *PriorityDecision `json:"priority,omitempty"`

	// Business is who is concerned.
	// +optional
	Business *Business `json:"business,omitempty"`

	// Policy identifies the rules that decided.
	// +optional
	Policy *Policy `json:"policy,omitempty"`

	// Conditions are EnrichmentComplete, ClassificationComplete, CategorizationComplete and Ready.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SignalProcessing takes the signal of one RemediationRequest through
// enrichment and classification. It bears its request's name and is owned by it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=signalprocessings,shortName=sp,categories=kubernaut
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Signal",type=string,JSONPath=`.spec.signal.signalName`
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.status.severity.value`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.status.environment.value`
// +kubebuilder:printcolumn:name="Priority",type=string,JSONPath=`.status.priority.value`
// +kubebuilder:printcolumn:name="Degraded",type=boolean,JSONPath=`.status.context.degraded`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
type SignalProcessing struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SignalProcessingSpec `json:"spec"`

	// +optional
	Status SignalProcessingStatus `json:"status,omitempty"`
}

// SignalProcessingList is a list of SignalProcessings.
//
// +kubebuilder:object:root=true
type SignalProcessingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SignalProcessing `json:"items"`
}
