package v1alpha1

// The condition types of a RemediationRequest.
const (
	// ConditionSignalProcessed is true once the signal is classified, false if
	// processing failed, and unknown before.
	ConditionSignalProcessed = "SignalProcessed"
	// ConditionManualReview is true while the request waits for a person; its
	// reason says why.
	ConditionManualReview = "ManualReview"
	// ConditionFinished is true once the request is over; its reason says why.
	ConditionFinished = "Finished"
)

// ConditionGuardRail is true while a guard rail keeps an execution from starting, or has made a
// person necessary; its reason names the guard rail.
const ConditionGuardRail = "GuardRail"

// The guard rails.
const (
	// RailCoolDown: the same workflow changed the same target not long ago.
	RailCoolDown = "CoolDown"
	// RailNamespaceMaximum and RailClusterMaximum: enough executions started in the last hour.
	RailNamespaceMaximum = "NamespaceMaximum"
	RailClusterMaximum   = "ClusterMaximum"
	// RailIneffective: executions for the same problem did not help, so a person decides.
	RailIneffective = "Ineffective"
)

// The reasons that SignalProcessing gives in conditions of a RemediationRequest.
const (
	// ReasonProcessingFailed: the signal could not be enriched.
	ReasonProcessingFailed = "ProcessingFailed"
	// ReasonForeignSignalProcessing: the name of the request is taken by a
	// SignalProcessing about something else. Deleting that lets the request go on.
	ReasonForeignSignalProcessing = "ForeignSignalProcessing"
	// ReasonOverflow: the request stands for the problems of a namespace that
	// exceed the bound on open requests.
	ReasonOverflow = "Overflow"
	// ReasonClassified: the request left manual review because it was classified.
	ReasonClassified = "Classified"
	// ReasonResolvedBeforeExecution: no instance of the signal fires any more.
	ReasonResolvedBeforeExecution = "ResolvedBeforeExecution"
	// ReasonStale: no instance of the signal was repeated for too long.
	ReasonStale = "Stale"
)

// The reasons for which an approved execution waits; so does one with ReasonGuardRail.
const (
	// ReasonTargetBusy: another execution works below the same top owner.
	ReasonTargetBusy = "TargetBusy"
	// ReasonPaused: executions are paused, in the namespace or in the cluster.
	ReasonPaused = "Paused"
	// ReasonTrailUnavailable: DataStorage has to store the event of the start first.
	ReasonTrailUnavailable = "TrailUnavailable"
)

// The reasons that WorkflowExecution gives in conditions of a RemediationRequest.
const (
	// ReasonNoWorkflow: no valid workflow applies, or the policy selects none.
	ReasonNoWorkflow = "NoWorkflow"
	// ReasonPolicyError: the policy's answer does not fit the catalog.
	ReasonPolicyError = "PolicyError"
	// ReasonProposalOnly: there is a proposal, and nobody may execute it here.
	ReasonProposalOnly = "ProposalOnly"
	// ReasonProposalRejected: a person rejected the proposal.
	ReasonProposalRejected = "ProposalRejected"
	// ReasonProposalExpired: nobody decided in time.
	ReasonProposalExpired = "ProposalExpired"
	// ReasonProposalInvalidated: the proposal no longer fits the target.
	ReasonProposalInvalidated = "ProposalInvalidated"
	// ReasonGuardRail: a guard rail keeps the workflow from being executed now.
	ReasonGuardRail = "GuardRail"
	// ReasonExecutionFailed: the execution failed.
	ReasonExecutionFailed = "ExecutionFailed"
	// ReasonIneffective: the execution did not help.
	ReasonIneffective = "Ineffective"
	// ReasonInconclusive: nobody knows whether the execution helped, or whether it took place.
	ReasonInconclusive = "Inconclusive"
	// ReasonEffective: the request is completed, because the execution helped.
	ReasonEffective = "Effective"
	// ReasonResolved: the request is completed, because nothing fires any more.
	ReasonResolved = "Resolved"
	// ReasonClosed: the request is completed, because a person closed it.
	ReasonClosed = "Closed"
	// ReasonRetried: the request left manual review because a person wants another attempt.
	ReasonRetried = "Retried"
	// ReasonEscalated: the request left manual review because its severity rose.
	ReasonEscalated = "Escalated"
)
