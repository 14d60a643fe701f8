// Package remediationrequest gives each new RemediationRequest its SignalProcessing and
// mirrors what comes of it onto the request.
//
// The SignalProcessing bears the request's name, lives in its namespace and is
// owned by it: whoever creates it first, it is the same one. The mirrored
// status follows from a SignalProcessing's status, whose audit events were
// recorded before; so the request shows nothing that its trail does not.
//
// A request that has gone on to approval, or has ended, belongs to others and
// is left alone.
package remediationrequest
