// Package demo shows a remediation from alert to trail: it sends a webhook
// body as Alertmanager sends it to a running stack, waits until the request is
// classified, flushes, reads the audit trail with one query, and checks that
// nothing of it is missing.
package demo
