package heartbeat

import (
	"strings"

	"kubernaut.ai/api/v1alpha1"
)

// severityNone is the severity that alerting rules give to what is no problem.
const severityNone = "none"

// exceptions are the alerts that are heartbeats by their name, whatever their
// severity, with the reason. Everything else is told by its severity or by
// configuration.
var exceptions = map[string]string{
	// Prometheus' community rules fire it always, so that its absence shows a
	// broken pipeline. Installations change its severity to route it.
	"Watchdog": "fires while the pipeline of alerts works",
	// It inhibits alerts of severity info in its namespace; while it is pending it
	// carries the labels of a pod.
	"InfoInhibitor": "exists to inhibit other alerts",
}

// is reports whether a signal is a heartbeat by the built-in rules.
func is(spec *v1alpha1.RemediationRequestSpec) bool {
	if spec.SignalType != v1alpha1.SignalTypeAlert {
		return false
	}
	_, named := exceptions[spec.SignalName]
	return named || strings.EqualFold(strings.TrimSpace(spec.Severity), severityNone)
}
