package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RemediationPhase is where a request stands.
// +kubebuilder:validation:Enum=Pending;Processing;Classified;AwaitingApproval;Approved;Executing;Verifying;ManualReview;Completed;Skipped
type RemediationPhase string

// The phases of a request. A request starts at Pending; a request without a
// status is Pending too.
const (
	// RemediationPending waits for signal processing.
	RemediationPending RemediationPhase = "Pending"
	// RemediationProcessing is being enriched and classified.
	RemediationProcessing RemediationPhase = "Processing"
	// RemediationClassified has a severity, an environment and a priority.
	RemediationClassified RemediationPhase = "Classified"
	// RemediationAwaitingApproval has a proposal that somebody has to decide on.
	RemediationAwaitingApproval RemediationPhase = "AwaitingApproval"
	// RemediationApproved has a proposal that may be executed.
	RemediationApproved RemediationPhase = "Approved"
	// RemediationExecuting is being remediated.
	RemediationExecuting RemediationPhase = "Executing"
	// RemediationVerifying was remediated; the effect is being observed.
	RemediationVerifying RemediationPhase = "Verifying"
	// RemediationManualReview needs a person; the condition's reason says why.
	RemediationManualReview RemediationPhase = "ManualReview"
	// RemediationCompleted is over: remediated, resolved by itself, or closed.
	RemediationCompleted RemediationPhase = "Completed"
	// RemediationSkipped is over without a remediation: no alert fires any more,
	// or none was repeated for too long.
	RemediationSkipped RemediationPhase = "Skipped"
)

// Terminal reports whether a request in this phase is finished: it takes no
// more signals, and a firing after its cool-down makes a new request.
func (p RemediationPhase) Terminal() bool {
	switch p {
	case RemediationCompleted, RemediationSkipped:
		return true
	case RemediationPending, RemediationProcessing, RemediationClassified, RemediationAwaitingApproval,
		RemediationApproved, RemediationExecuting, RemediationVerifying, RemediationManualReview:
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

// Bounds of SignalInstances.
const (
	// MaxSignalInstances is how many firing instances a request lists.
	MaxSignalInstances = 100
	// MaxSignalSeverities is how many severities of the source a request lists.
	MaxSignalSeverities = 8
)

// SignalInstances tells which instances of the problem's signal fire. A request
// without it has one instance, the signal of its spec. A problem is over when
// no instance fires.
type SignalInstances struct {
	// Instances are the firing instances; for an overflow request, its members.
	// +kubebuilder:validation:MaxItems=100
	// +listType=map
	// +listMapKey=id
	// +optional
	Instances []SignalInstance `json:"instances,omitempty"`

	// More counts the instances beyond those listed. Which of them still fire is
	// unknown: they end when none of them was repeated for a while.
	// +kubebuilder:validation:Minimum=0
	// +optional
	More int64 `json:"more,omitempty"`

	// MoreSeenAt is when the latest signal of an instance beyond those listed arrived.
	// +optional
	MoreSeenAt *metav1.MicroTime `json:"moreSeenAt,omitempty"`

	// LatestStartsAt is the latest time at which an instance began to fire, whether or not
	// it still does: what the source says, or else when the instance's first signal arrived.
	// It is absent as long as only the request's first signal tells one.
	// +optional
	LatestStartsAt *metav1.MicroTime `json:"latestStartsAt,omitempty"`

	// Severities are the severities, as the source said them, that instances of
	// this request have had, in the order of their first arrival. A new one makes
	// signal processing classify the request again.
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	// +optional
	Severities []string `json:"severities,omitempty"`

	// EndedAt is when the last firing instance resolved; absent while one fires.
	// +optional
	EndedAt *metav1.MicroTime `json:"endedAt,omitempty"`
}

// SignalInstance is a firing instance of a signal: the alert of one pod, volume or replica.
type SignalInstance struct {
	// ID identifies the instance within the request: 16 hex digits, a digest of its labels.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{16}$`
	ID string `json:"id"`

	// Name tells people which instance it is: the object that its signal names.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`

	// Severity as the source said it last.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Severity string `json:"severity,omitempty"`

	// StartsAt is when the source says that the instance began to fire.
	StartsAt metav1.MicroTime `json:"startsAt"`

	// LastSeenAt is when its latest signal arrived.
	LastSeenAt metav1.MicroTime `json:"lastSeenAt"`
}

// RemediationRequestStatus is what has become of a request.
type RemediationRequestStatus struct {
	// Phase is where the request stands.
	// +kubebuilder:default=Pending
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

	// Signals tells which instances of the signal fire.
	// +optional
	Signals *SignalInstances `json:"signals,omitempty"`

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

	// ExecutionRef names the latest WorkflowExecution of this request, in the same namespace.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ExecutionRef string `json:"executionRef,omitempty"`

	// RemediatedAt is when the latest execution that changed something was over. An alert that
	// began to fire later is not absorbed by this request once it is finished.
	// +optional
	RemediatedAt *metav1.MicroTime `json:"remediatedAt,omitempty"`

	// SelectedSeverity is the severity for which a workflow was selected the last time. A
	// request that waits for a person is looked at again when its severity rises above it.
	// +optional
	SelectedSeverity Severity `json:"selectedSeverity,omitempty"`

	// LastCommand is the UID of the latest RemediationCommand that was carried out.
	// +optional
	LastCommand types.UID `json:"lastCommand,omitempty"`

	// CompletedAt is when the request reached a terminal phase; the cool-down counts from here.
	// +optional
	CompletedAt *metav1.MicroTime `json:"completedAt,omitempty"`

	// Conditions are SignalProcessed, ManualReview, GuardRail and Finished; their reasons say
	// why the request stands where it does.
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

	// +kubebuilder:default={}
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
