// Package demo shows a remediation from alert to trail: it lets a pod of a Deployment crash, sends the
// alert as Alertmanager does to a running stack, asks for the approval of the proposal, plays what
// a kubelet would report of the restarted pods, resolves the alert, waits for the outcome, flushes,
// reads the audit trail with one query, and checks that nothing of it is missing.
package demo
