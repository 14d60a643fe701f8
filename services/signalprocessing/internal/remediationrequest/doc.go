// Package remediationrequest takes each RemediationRequest through signal processing: it
// creates the request's SignalProcessing, has its steps performed, and shows the result
// in the request's status.
//
// The SignalProcessing has the request's name and namespace and is owned by the
// request, so that concurrent creations result in the same object. What the request
// shows is derived from the status of the SignalProcessing, whose audit events were
// recorded before it; so the request shows nothing that its trail does not.
//
// A request that meets no failure is written once, when it is classified. With the
// SignalProcessing, its four steps and a Kubernetes event, that makes seven API writes.
//
// After Classified the phase belongs to others. The package then writes severity,
// environment, priority and its own condition, which change when a problem escalates.
package remediationrequest
