// Package events lists the audit events of services/datastorage for the catalog of events.
package events

import (
	"slices"

	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/maintain"
	"kubernaut.ai/services/datastorage/internal/producer"
)

// Catalog describes each type of event that the service records.
func Catalog() []eventcatalog.Entry {
	return slices.Concat(accesslog.Catalog(), acknowledgement.Catalog(), erasure.Catalog(), hold.Catalog(), maintain.Catalog(), producer.Catalog())
}
