// Package remediationrequest creates a SignalProcessing for each new
// RemediationRequest and mirrors its status to the request.
//
// The SignalProcessing has the request's name and namespace and is owned by the
// request, so that concurrent creations result in the same object. The mirrored
// status is derived from the SignalProcessing's status, whose audit events were
// recorded before it; so the request shows nothing that its trail does not.
//
// Requests that are past approval, or in a terminal phase, are not changed.
package remediationrequest
