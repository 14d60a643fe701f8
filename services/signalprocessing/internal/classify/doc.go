// Package classify decides a signal's severity, environment, priority and business
// owner with Rego policies. The policies are compiled once and depend on their input
// only (no clock, no network, no randomness): the same input and [Bundle] always
// result in the same decision, so that a recorded decision can be replayed.
//
// A bundle defines four decisions for this package:
//
//	data.kubernaut.severity.decision     {value, source, confidence}
//	data.kubernaut.environment.decision  {value, source, confidence}
//	data.kubernaut.priority.decision     {value, source, confidence}, with severity and environment in its input
//	data.kubernaut.business.decision     {unit, serviceOwner, criticality, sla}
//
// If a policy fails, exceeds its deadline or returns a value outside the platform's
// scales, the signal is still processed: the default applies (unknown, P3), and the
// decision says why.
package classify
