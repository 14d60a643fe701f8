// Package audittrail reads the complete audit trail of a remediation: it flushes
// every service that may owe a part of it, and then queries once.
//
// Whoever has seen a status, or an answer of the Gateway, knows that its event
// was accepted; a flush that succeeds proves that it is stored; so one query
// at the flushes' consistency tokens has it. There is nothing to wait for and
// nothing to try again.
package audittrail
