// Package auditevents builds the audit events of signal processing.
//
// Every event has a derived id: the same step of the same resource is the same
// event, however often a conflict, a crash or a stale cache repeats it. For
// that, everything in an event but its timestamp and duration follows from the
// step alone, and goes into the id: a different decision for the same step is
// a different event, because it was another decision.
package auditevents
