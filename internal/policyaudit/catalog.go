package policyaudit

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// Catalog lists the events about policies of a service that has given them these types.
func Catalog(loaded, rejected string) []eventcatalog.Entry {
	const trail = "`policy-` and the first 16 digits of the bundle's SHA-256"
	return []eventcatalog.Entry{
		{Type: loaded, When: "a bundle of policies is about to decide", Trail: trail, Outcomes: []audit.Outcome{audit.OutcomeSuccess}, Data: []any{data{}}},
		{Type: rejected, When: "a bundle of policies is rejected, and the last good one stays in force", Trail: trail, Outcomes: []audit.Outcome{audit.OutcomeFailure}, Data: []any{data{}}},
	}
}
