package maintain

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// Expired is the type of the event about events that were removed.
const Expired = "datastorage.retention.expired"

type expired struct {
	// Partition that the events were in.
	Partition string `json:"partition"`
	// Removed is the number of events whose retention was over.
	Removed int64 `json:"removed"`
	// Kept is the number of events of a month that stay.
	Kept int64 `json:"kept"`
	// Held is the number of those whose retention is over, and that a legal hold keeps.
	Held int64 `json:"held"`
	// FloorDays is the retention in days that no event goes under.
	FloorDays int `json:"floor_days"`
}

// Catalog lists the events that maintenance records.
func Catalog() []eventcatalog.Entry {
	return []eventcatalog.Entry{{
		Type: Expired, When: "events are removed because their retention is over; it is stored in the transaction that removes them",
		Trail: "the partition", Outcomes: []audit.Outcome{audit.OutcomeSuccess}, Data: []any{expired{}},
	}}
}
