// Package classify decides how bad a signal is, where it happens, how urgent
// that makes it and whom it concerns. The decisions are Rego policies, which
// are compiled once; they see their input and nothing else (no clock, no
// network, no randomness), so that the same input under the same [Bundle]
// always gives the same decision and a recorded one can be replayed.
//
// A bundle answers four queries:
//
//	data.kubernaut.severity.decision     {value, source, confidence}
//	data.kubernaut.environment.decision  {value, source, confidence}
//	data.kubernaut.priority.decision     {value, source, confidence}, with severity and environment in its input
//	data.kubernaut.business.decision     {unit, serviceOwner, criticality, sla}
//
// A policy that fails, takes too long or answers outside of the platform's
// scales costs no signal its processing: the default is decided instead
// (unknown, P3), and the decision says why.
package classify
