package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"kubernaut.ai/pkg/audit"
)

// eventBytes are the texts and the payload of an event together.
const eventBytes = 1024

// correlationID names the n-th remediation; all of them have the same length.
func correlationID(n int) string { return fmt.Sprintf("rr-bench-%08d", n) }

// newEvent makes an event of exactly eventBytes, with a payload like that of a
// classification: a few decisions, labels, and a rule's text.
func newEvent(correlationID string) *audit.Event {
	e := &audit.Event{
		Type:          "signalprocessing.classification.decision",
		Category:      "signalprocessing",
		Action:        "classify",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: correlationID,
		ResourceID:    correlationID + "-pod",
	}
	texts := len(e.Type) + len(e.Category) + len(e.Action) + len(e.Outcome) + len(e.CorrelationID) + len(e.ResourceID)
	e.Data = payload(eventBytes - texts)
	return e
}

// payload is a JSON object of a size; the rule's text fills it up.
func payload(size int) json.RawMessage {
	const head = `{"environment":{"value":"production","source":"namespace-labels","confidence":0.95},` +
		`"priority":{"value":"P0","score":98,"policy_version":"2026-01-02","fallback":false},` +
		`"severity":{"external":"critical","normalized":"critical","rules_matched":[3,17,42]},` +
		`"business":{"owner":"payments-team","criticality":"high","sla_minutes":15,"regions":["eu-west-1","us-east-2"]},` +
		`"labels":{"app":"checkout","component":"api","tier":"backend","release":"r2187","managed-by":"helm"},` +
		`"degraded":null,"rule":"`
	const tail = `"}`
	const text = "the namespace is labelled production and the alert names a workload that serves customers; "
	fill := size - len(head) - len(tail)
	return json.RawMessage(head + strings.Repeat(text, fill/len(text)+1)[:fill] + tail)
}
