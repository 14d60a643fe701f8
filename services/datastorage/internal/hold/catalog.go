package hold

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

// The types of the events about holds.
const (
	Placed   = "datastorage.legalhold.placed"
	Released = "datastorage.legalhold.released"
)

// data is the data of both.
type data struct {
	// CorrelationID whose events are held; empty for a hold on a filter.
	CorrelationID string `json:"correlation_id,omitempty"`
	// Filter that held events match, by the names of the filters of listEvents.
	Filter query.Filter `json:"filter,omitempty"`
	// Reason that the caller gave.
	Reason string `json:"reason"`
	// User who placed or released the hold; missing without authentication.
	User *ownevent.User `json:"user,omitempty"`
}

// Catalog lists the events about holds.
func Catalog() []eventcatalog.Entry {
	outcomes := []audit.Outcome{audit.OutcomeSuccess}
	return []eventcatalog.Entry{
		{
			Type: Placed, When: "a legal hold is placed; it is stored in the transaction that places it",
			Trail: "the hold's id", Outcomes: outcomes, Data: []any{data{}},
		},
		{
			Type: Released, When: "a legal hold is released", Trail: "the hold's id", Outcomes: outcomes, Data: []any{data{}},
		},
	}
}
