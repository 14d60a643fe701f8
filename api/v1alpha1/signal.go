package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SignalType tells what kind of source reported a signal.
// +kubebuilder:validation:Enum=alert;kubernetes-event;overflow
type SignalType string

// The kinds of signal that the Gateway takes.
const (
	SignalTypeAlert           SignalType = "alert"
	SignalTypeKubernetesEvent SignalType = "kubernetes-event"
	// SignalTypeOverflow is the Gateway's own: the problems of a namespace that
	// exceed the bound on open requests, in one request for a person.
	SignalTypeOverflow SignalType = "overflow"
)

// TargetResource names the object that a signal is about. It need not exist:
// alerts outlive the pods that they speak of.
type TargetResource struct {
	// APIVersion of the object, for example apps/v1; empty where the signal does not tell.
	// +kubebuilder:validation:MaxLength=317
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the object, for example Pod, Deployment or Node; Unknown where the signal does not tell.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the object; empty for cluster-scoped kinds.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Signal is what a source reported, as the Gateway understood it.
type Signal struct {
	// SignalFingerprint identifies the problem: the hex SHA-256 over cluster,
	// namespace, kind and name of the target's top owner, and the signal's name.
	// Signals with one fingerprint share one open request.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	SignalFingerprint string `json:"signalFingerprint"`

	// SignalName is the source's name for the problem, for example the alert's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SignalName string `json:"signalName"`

	// SignalType is the kind of source.
	SignalType SignalType `json:"signalType"`

	// SignalSource names the source, for example the Alertmanager's receiver or external address.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SignalSource string `json:"signalSource"`

	// Severity as the source said it, unchanged; empty where it said none.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Severity string `json:"severity,omitempty"`

	// TargetResource is the object that the signal is about.
	TargetResource TargetResource `json:"targetResource"`

	// FiringTime is when the source says the problem began.
	FiringTime metav1.MicroTime `json:"firingTime"`

	// ReceivedTime is when the Gateway took the first signal.
	ReceivedTime metav1.MicroTime `json:"receivedTime"`

	// Labels of the signal.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the signal.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}
