package auditevents

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
)

// ofDelivery is the trail of what may belong to no request.
const ofDelivery = "the name of the RemediationRequest; without one, the delivery: `gw-` and a UUID"

// Catalog lists the Gateway's events.
func Catalog() []eventcatalog.Entry {
	success, failure := []audit.Outcome{audit.OutcomeSuccess}, []audit.Outcome{audit.OutcomeFailure}
	return []eventcatalog.Entry{
		{Type: SignalReceived, When: "a firing alert arrived that has no request yet", Outcomes: success, Data: []any{signalData{}}},
		{Type: RequestCreated, When: "the request exists; the data holds its complete spec", Outcomes: success, Data: []any{createdData{}}},
		{
			Type: RequestFailed, When: "the request could not be created, or not be found; the sender retries",
			Outcomes: failure, Data: []any{failedData{}}, Trail: ofDelivery,
		},
		{
			Type: SignalDeduplicated, When: "a firing alert was added to an existing request; with `count`, several that changed nothing",
			Outcomes: success, Data: []any{deduplicatedData{}, Duplicates{}},
		},
		{
			Type: SignalResolved, When: "the source reports the end of one instance of a problem",
			Outcomes: success, Data: []any{resolvedData{}}, Trail: ofDelivery,
		},
		{
			Type: SignalRejected, When: "a body, or one of its alerts, can never be accepted, or its sender may not report it",
			Outcomes: failure, Data: []any{rejectedData{}}, Trail: "the delivery, or the HTTP request: `gw-` and a UUID",
		},
		{
			Type: SignalTruncated, When: "the sender left alerts out of the body, or they lie beyond the Gateway's bounds",
			Outcomes: failure, Data: []any{truncatedData{}, beyondData{}}, Trail: ofDelivery,
		},
		{
			Type: SignalUndeliverable, When: "the cluster has denied the request of a problem for an hour, and the Gateway asks for no more retries",
			Outcomes: failure, Data: []any{failedData{}}, Trail: ofDelivery,
		},
		{
			Type: HeartbeatLost, When: "an expected heartbeat stays away",
			Outcomes: failure, Data: []any{heartbeatData{}}, Trail: "the name of the request about it; without one, `heartbeat-` and an id",
		},
		{
			Type: HeartbeatRestored, When: "a lost heartbeat is back",
			Outcomes: success, Data: []any{heartbeatData{}}, Trail: "the name of the request about it; without one, `heartbeat-` and an id",
		},
		{
			Type: QuotaExceeded, When: "alerts got no request of their own, because as many are open as may be",
			Outcomes: failure, Data: []any{quotaData{}}, Trail: "the name of the overflow request",
		},
	}
}
