package v1alpha1

// Severity is how bad a problem is, on the platform's own scale.
// +kubebuilder:validation:Enum=critical;high;medium;low;unknown
type Severity string

// The severities, worst first.
const (
	SeverityCritical Severity = "critical"
	SeverityHigh     Severity = "high"
	SeverityMedium   Severity = "medium"
	SeverityLow      Severity = "low"
	SeverityUnknown  Severity = "unknown"
)

// Environment is what the target is used for.
// +kubebuilder:validation:Enum=production;staging;development;test;unknown
type Environment string

// The environments.
const (
	EnvironmentProduction  Environment = "production"
	EnvironmentStaging     Environment = "staging"
	EnvironmentDevelopment Environment = "development"
	EnvironmentTest        Environment = "test"
	EnvironmentUnknown     Environment = "unknown"
)

// Priority is the order in which problems are worked on, P0 first.
// +kubebuilder:validation:Enum=P0;P1;P2;P3
type Priority string

// The priorities, most urgent first.
const (
	PriorityP0 Priority = "P0"
	PriorityP1 Priority = "P1"
	PriorityP2 Priority = "P2"
	PriorityP3 Priority = "P3"
)

// Criticality is how much the business depends on the target.
// +kubebuilder:validation:Enum=critical;high;medium;low;unknown
type Criticality string

// Decision says where a classified value comes from and how sure it is.
type Decision struct {
	// Source names the evidence, for example "namespace-label" or "namespace-name".
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source"`

	// ConfidencePercent is how sure the policy is, 0 to 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	ConfidencePercent int32 `json:"confidencePercent"`
}

// SeverityDecision is the classified severity.
type SeverityDecision struct {
	Decision `json:",inline"`

	Value Severity `json:"value"`
}

// EnvironmentDecision is the classified environment.
type EnvironmentDecision struct {
	Decision `json:",inline"`

	Value Environment `json:"value"`
}

// PriorityDecision is the assigned priority.
type PriorityDecision struct {
	Decision `json:",inline"`

	Value Priority `json:"value"`
}

// Business is who is concerned and what was promised to them.
type Business struct {
	// Unit is the business unit; empty where nothing tells.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Unit string `json:"unit,omitempty"`

	// ServiceOwner is the team that answers for the target; empty where nothing tells.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceOwner string `json:"serviceOwner,omitempty"`

	// Criticality is how much the business depends on the target.
	Criticality Criticality `json:"criticality"`

	// SLA is the time to resolution that was promised, as a Go duration; empty where none was.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	SLA string `json:"sla,omitempty"`
}

// Policy identifies the rules that decided, so that a decision can be replayed.
type Policy struct {
	// SHA256 is the hex digest of the policy bundle.
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{64}$`
	SHA256 string `json:"sha256"`

	// Origin says where the bundle came from, for example "built-in".
	// +kubebuilder:validation:MaxLength=253
	Origin string `json:"origin"`
}
