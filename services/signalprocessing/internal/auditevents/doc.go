// Package auditevents builds the audit events of signal processing.
//
// Every event has a derived id, so that a step that is repeated after a conflict,
// a crash or a stale read records the same event again. Everything in an event
// except its timestamp and duration is determined by the step and is part of the
// id. A different decision for the same step is therefore a different event.
package auditevents
