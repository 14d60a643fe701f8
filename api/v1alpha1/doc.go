// Package v1alpha1 holds the custom resources of the API group kubernaut.ai. A
// RemediationRequest stands for one problem that a cluster reported, and a
// SignalProcessing enriches and classifies it. A RemediationWorkflow is an entry of the
// catalog of remediations, a WorkflowExecution is the proposal to run one for a request and
// what became of it, and RemediationApproval, RemediationCommand and PauseSwitch are what
// people decide.
//
// The types are contracts only. Spec and status.deduplication of a request are the
// Gateway's; its phase is written by signal processing until it is classified, and by
// workflow execution from then on.
//
// +kubebuilder:object:generate=true
// +groupName=kubernaut.ai
package v1alpha1
