package auditevents

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/internal/policyaudit"
	"kubernaut.ai/pkg/audit"
)

// Catalog lists the events of signal processing.
func Catalog() []eventcatalog.Entry {
	success, failed := []audit.Outcome{audit.OutcomeSuccess}, []audit.Outcome{audit.OutcomeFailure}
	either := []audit.Outcome{audit.OutcomeSuccess, audit.OutcomeFailure}
	return append([]eventcatalog.Entry{
		{Type: TypePhaseTransition, When: "a SignalProcessing is about to change its phase", Outcomes: either, Data: []any{transition{}}},
		{Type: TypeEnrichmentCompleted, When: "the context of the target was read from the cluster", Outcomes: success, Data: []any{enrichment{}}},
		{
			Type: TypeClassificationDecision, When: "severity and environment are decided; with a failure, by default because the policies failed",
			Outcomes: either, Data: []any{classification{}},
		},
		{
			Type: TypeBusinessClassified, When: "priority and business owner are decided; with a failure, by default because the policies failed",
			Outcomes: either, Data: []any{categorization{}},
		},
		{Type: TypeSignalProcessed, When: "processing ends; with a failure, without a result", Outcomes: either, Data: []any{processed{}}},
		{Type: TypeErrorOccurred, When: "an attempt at a step failed", Outcomes: failed, Data: []any{failure{}}},
		{Type: TypeRequestReclassified, When: "the source raised the severity of a request, and the policies were evaluated again", Outcomes: either, Data: []any{reclassification{}}},
		{Type: TypeRequestSkipped, When: "a request ends without a remediation", Outcomes: success, Data: []any{skipped{}}},
		{Type: TypeRequestDeleted, When: "a request is removed from the cluster", Outcomes: success, Data: []any{deleted{}}},
	}, policyaudit.Catalog(TypePolicyLoaded, TypePolicyRejected)...)
}
