package producer

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// Catalog lists the events about producers.
func Catalog() []eventcatalog.Entry {
	return []eventcatalog.Entry{{
		Type: Claimed, When: "the first recorder of a producer's events becomes its owner; nobody else may record under this producer",
		Trail: "the producer's id", Outcomes: []audit.Outcome{audit.OutcomeSuccess}, Data: []any{claim{}},
	}}
}
