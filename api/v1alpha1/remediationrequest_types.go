package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RemediationPhase is where a request stands.
// +kubebuilder:validation:Enum=Pending;Processing;AwaitingApproval;Approved;Rejected;Executing;Completed;Failed;TimedOut;Skipped
type RemediationPhase string

// The phases of a request. A request starts at Pending; a request without a
// status is Pending too.
const (
	RemediationPending          RemediationPhase = "Pending"
	RemediationProcessing       RemediationPhase = "Processing"
	RemediationAwaitingApproval RemediationPhase = "AwaitingApproval"
	RemediationApproved         RemediationPhase = "Approved"
	RemediationRejected         RemediationPhase = "Rejected"
	RemediationExecuting        RemediationPhase = "Executing"
	RemediationCompleted        RemediationPhase = "Completed"
	RemediationFailed           RemediationPhase = "Failed"
	RemediationTimedOut         RemediationPhase = "TimedOut"
	RemediationSkipped          RemediationPhase = "Skipped"
)

// Terminal reports whether a request in this phase is finished: it takes no
// more signals, and a firing after its cool-down makes a new request.
func (p RemediationPhase) Terminal() bool {
	switch p {
	case RemediationRejected, RemediationCompleted, RemediationFailed, RemediationTimedOut, RemediationSkipped:
		return true
	case RemediationPending, RemediationProcessing, RemediationAwaitingApproval, RemediationApproved, RemediationExecuting:
	}
	return false
}

// RemediationRequestSpec is the first signal of a problem. It never changes.
type RemediationRequestSpec struct {
	Signal `json:",inline"`

	// ProviderData is what the source sent beyond the fields above, as a JSON document.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	ProviderData string `json:"providerData,omitempty"`

	// OriginalPayload is the signal as it arrived, as a JSON document, cut at 64 KiB.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	OriginalPayload string `json:"originalPayload,omitempty"`
}

// Deduplication counts the signals of a request.
type Deduplication struct {
	// FirstSeenAt is when the first signal arrived.
	FirstSeenAt metav1.MicroTime `json:"firstSeenAt"`

	// LastSeenAt is when the latest counted signal arrived.
	LastSeenAt metav1.MicroTime `json:"lastSeenAt"`

	// OccurrenceCount is the number of signals, the first one included.
	// Counts are written at most once a second; the audit trail has each of them.
	// +kubebuilder:validation:Minimum=1
	OccurrenceCount int64 `json:"occurrenceCount"`
}

// RemediationRequestStatus is what has become of a request.
type RemediationRequestStatus struct {
	// Phase is where the request stands.
	// +optional
	Phase RemediationPhase `json:"phase,omitempty"`

	// Message says in a sentence why the request stands there.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// ObservedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Deduplication counts the signals of this request.
	// +optional
	Deduplication *Deduplication `json:"deduplication,omitempty"`

	// SignalProcessingRef names the SignalProcessing of this request, in the same namespace.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SignalProcessingRef string `json:"signalProcessingRef,omitempty"`

	// Severity is the classified severity, mirrored from the SignalProcessing.
	// +optional
	Severity Severity `json:"severity,omitempty"`

	// Environment is the classified environment, mirrored from the SignalProcessing.
	// +optional
	Environment Environment `json:"environment,omitempty"`

	// Priority is the assigned priority, mirrored from the SignalProcessing.
	// +optional
	Priority Priority `json:"priority,omitempty"`

	// CompletedAt is when the request reached a terminal phase; the cool-down counts from here.
	// +optional
	CompletedAt *metav1.MicroTime `json:"completedAt,omitempty"`

	// Conditions are the standard Kubernetes conditions of the request.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RemediationRequest stands for one problem that a cluster reported. Its name
// is the correlation id of its audit trail.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rr,categories=kubernaut
// +kubebuilder:selectablefield:JSONPath=`.spec.signalFingerprint`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Signal",type=string,JSONPath=`.spec.signalName`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.targetResource.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetResource.name`
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.status.severity`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.status.environment`
// +kubebuilder:printcolumn:name="Priority",type=string,JSONPath=`.status.priority`
// +kubebuilder:printcolumn:name="Count",type=integer,JSONPath=`.status.deduplication.occurrenceCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
type RemediationRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the first signal. It is immutable: the audit trail refers to it.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: a new signal is a new request"
	Spec RemediationRequestSpec `json:"spec"`

	// +optional
	Status RemediationRequestStatus `json:"status,omitempty"`
}

// RemediationRequestList is a list of requests.
//
// +kubebuilder:object:root=true
type RemediationRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RemediationRequest `json:"items"`
}
