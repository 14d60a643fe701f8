package acknowledgement

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// Catalog lists the events about acknowledgements.
func Catalog() []eventcatalog.Entry {
	return []eventcatalog.Entry{{
		Type: EventType, When: "a person acknowledges that events of a recorder are lost, so that its store may go on without them",
		Trail: "the event's own id", Outcomes: []audit.Outcome{audit.OutcomeSuccess}, Data: []any{data{}},
	}}
}
