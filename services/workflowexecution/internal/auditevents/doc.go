// Package auditevents makes the audit events of a remediation. Their ids are derived, so that
// a step that is repeated after a crash records the same event; their correlation id is the
// name of the request.
package auditevents
