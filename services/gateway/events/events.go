// Package events lists the audit events of services/gateway for the catalog of events.
package events

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/services/gateway/internal/auditevents"
)

// Catalog describes each type of event that the service records.
func Catalog() []eventcatalog.Entry { return auditevents.Catalog() }
