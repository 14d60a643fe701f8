// Package v1alpha1 holds the custom resources of the API group kubernaut.ai:
// the RemediationRequest, which stands for one problem that a cluster
// reported, and the SignalProcessing, which enriches and classifies it.
//
// The types are contracts only. They are written by the Gateway (spec and
// status.deduplication of a request) and by the SignalProcessing controllers
// (everything else), each through server-side apply under its own field
// manager, so that no writer undoes another's.
//
// +kubebuilder:object:generate=true
// +groupName=kubernaut.ai
package v1alpha1
