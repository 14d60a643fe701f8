// Package platformevents is the catalog of the events of all services of the platform.
package platformevents

import (
	"fmt"

	"kubernaut.ai/internal/eventcatalog"
	datastorage "kubernaut.ai/services/datastorage/events"
	gateway "kubernaut.ai/services/gateway/events"
	signalprocessing "kubernaut.ai/services/signalprocessing/events"
	workflowexecution "kubernaut.ai/services/workflowexecution/events"
)

// Catalog lists every type of event that the platform records.
func Catalog() (eventcatalog.Catalog, error) {
	all, err := eventcatalog.Join(datastorage.Catalog(), gateway.Catalog(), signalprocessing.Catalog(), workflowexecution.Catalog())
	if err != nil {
		return nil, fmt.Errorf("catalog of events: %w", err)
	}
	return all, nil
}
