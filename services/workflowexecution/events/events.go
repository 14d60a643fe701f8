// Package events lists the audit events of services/workflowexecution for the catalog of events.
package events

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// Catalog describes each type of event that the service records.
func Catalog() []eventcatalog.Entry { return auditevents.Catalog() }
