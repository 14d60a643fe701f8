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
