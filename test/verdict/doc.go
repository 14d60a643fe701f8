// Package verdict checks an audit trail after services were killed or restarted
// under load: nothing that an outside observer has seen may be missing, and
// nothing may be stored twice.
//
// An event counts as accepted when an observer has seen its effect: the response
// to a signal, the phase in a status.
package verdict
