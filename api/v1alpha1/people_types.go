package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Command is what a person wants done with a request that waits for a person.
// +kubebuilder:validation:Enum=Retry;Close
type Command string

// The commands.
const (
	// CommandRetry selects a workflow again.
	CommandRetry Command = "Retry"
	// CommandClose ends the request without a remediation.
	CommandClose Command = "Close"
)

// RemediationCommandSpec is a command.
type RemediationCommandSpec struct {
	// Request that the command is about, in the same namespace.
	Request ObjectRef `json:"request"`

	Command Command `json:"command"`

	// Reason is for those who read the trail.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	RequestedBy Decider `json:"requestedBy"`
}

// RemediationCommandStatus says what became of the command.
type RemediationCommandStatus struct {
	// Result is Done, or Refused if the request did not wait for a person.
	// +kubebuilder:validation:Enum=Done;Refused
	// +optional
	Result string `json:"result,omitempty"`

	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// RemediationCommand is what a person wants done with a request. It is created, never edited;
// an admission policy compares requestedBy with its author.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rcmd,categories=kubernaut
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request.name`
// +kubebuilder:printcolumn:name="Command",type=string,JSONPath=`.spec.command`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.requestedBy.name`
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=`.status.result`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RemediationCommand struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: another command is another resource"
	Spec RemediationCommandSpec `json:"spec"`

	// +optional
	Status RemediationCommandStatus `json:"status,omitempty"`
}

// RemediationCommandList is a list of commands.
//
// +kubebuilder:object:root=true
type RemediationCommandList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RemediationCommand `json:"items"`
}

// PauseSwitchName is the name of the only PauseSwitch.
const PauseSwitchName = "cluster"

// PauseSwitchSpec says whether new executions may start.
type PauseSwitchSpec struct {
	// Paused stops new executions in the whole cluster.
	Paused bool `json:"paused"`

	// Reason is for those who read the trail.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	ChangedBy Decider `json:"changedBy"`
}

// PauseSwitch stops new executions in the whole cluster. Without one, nothing is paused; if it
// cannot be read, everything is. An admission policy compares changedBy with the author of
// each change, and refuses deletion.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=pause,categories=kubernaut
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'cluster'",message="the name must be cluster: there is one switch"
// +kubebuilder:printcolumn:name="Paused",type=boolean,JSONPath=`.spec.paused`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.changedBy.name`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
type PauseSwitch struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PauseSwitchSpec `json:"spec"`
}

// PauseSwitchList is a list of switches.
//
// +kubebuilder:object:root=true
type PauseSwitchList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PauseSwitch `json:"items"`
}
