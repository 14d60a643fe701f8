package auditevents

import (
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/internal/policyaudit"
	"kubernaut.ai/pkg/audit"
)

// Catalog lists the events of remediations.
func Catalog() []eventcatalog.Entry {
	success, failure, pending := []audit.Outcome{audit.OutcomeSuccess}, []audit.Outcome{audit.OutcomeFailure}, []audit.Outcome{audit.OutcomePending}
	either := []audit.Outcome{audit.OutcomeSuccess, audit.OutcomeFailure}
	return append([]eventcatalog.Entry{
		{
			Type: TypeWorkflowSelected, When: "the policy answered which workflow could help, if any; with a failure, its answer cannot be used",
			Outcomes: either, Data: []any{selected{}},
		},
		{Type: TypeApprovalRequested, When: "a proposal is about to be made", Outcomes: pending, Data: []any{requested{}}},
		{Type: TypeApprovalApproved, When: "persons, or the policy, approved a proposal", Outcomes: success, Data: []any{decided{}}},
		{Type: TypeApprovalRejected, When: "a person rejected a proposal", Outcomes: success, Data: []any{decided{}}},
		{Type: TypeApprovalExpired, When: "nobody decided in time", Outcomes: success, Data: []any{decided{}}},
		{Type: TypeProposalInvalidated, When: "a proposal does not fit any more", Outcomes: success, Data: []any{invalidated{}}},
		{Type: TypeGuardRailTriggered, When: "a guard rail keeps an execution from its start, or asks for a person", Outcomes: success, Data: []any{decided{}, guarded{}}},
		{Type: TypeExecutionStarted, When: "an execution is about to touch its target; stored before anything is touched", Outcomes: pending, Data: []any{started{}}},
		{Type: TypeExecutionCompleted, When: "the change was made, or the Job succeeded", Outcomes: success, Data: []any{ended{}}},
		{Type: TypeExecutionFailed, When: "the execution failed, or nobody knows what it did", Outcomes: failure, Data: []any{ended{}}},
		{Type: TypeVerificationStarted, When: "the effect of an execution begins to be observed", Outcomes: pending, Data: []any{begun{}}},
		{Type: TypeVerificationPassed, When: "the execution was effective", Outcomes: success, Data: []any{verified{}}},
		{Type: TypeVerificationFailed, When: "the execution was ineffective, or its outcome is unknown", Outcomes: failure, Data: []any{verified{}}},
		{Type: TypeInstanceUnknown, When: "instances were not repeated for so long that nobody knows whether they fire", Outcomes: success, Data: []any{unknown{}}},
		{
			Type: TypePaused, When: "executions are paused, in the cluster or in a namespace", Trail: "`pause-cluster`, or `pause-namespace-` and the namespace",
			Outcomes: success, Data: []any{pause{}},
		},
		{
			Type: TypeResumed, When: "a pause ends", Trail: "`pause-cluster`, or `pause-namespace-` and the namespace",
			Outcomes: success, Data: []any{pause{}},
		},
		{Type: TypeManualReview, When: "a request needs a person", Outcomes: success, Data: []any{review{}}},
		{Type: TypeRequestRetried, When: "a person wants another proposal", Outcomes: success, Data: []any{commanded{}}},
		{Type: TypeRequestClosed, When: "a person closes a request", Outcomes: success, Data: []any{commanded{}}},
		{Type: TypeRequestCompleted, When: "a request is completed", Outcomes: success, Data: []any{finished{}}},
		{Type: TypeRequestSkipped, When: "a request ends without a remediation", Outcomes: success, Data: []any{finished{}}},
	}, policyaudit.Catalog(TypePolicyLoaded, TypePolicyRejected)...)
}
