package auditevents

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// Change is a value before and after a step.
type Change[T ~string] struct {
	Old T `json:"old"`
	New T `json:"new"`
}

// Changed reports whether the values differ.
func (c Change[T]) Changed() bool { return c.Old != c.New }

// Reevaluation is the result of the policies for a severity that the source has said
// about a request that is classified already.
type Reevaluation struct {
	// Said is the severity as the source said it.
	Said     string
	Severity v1alpha1.SeverityDecision
	Priority v1alpha1.PriorityDecision
	// Classification and Categorization are the evidence of the two decisions.
	Classification, Categorization Evidence
}

// reevaluation is the form of Reevaluation in an event's data.
type reevaluation struct {
	Said           string   `json:"said"`
	Severity       verdict  `json:"severity"`
	Priority       verdict  `json:"priority"`
	Classification evidence `json:"classification"`
	Categorization evidence `json:"categorization"`
}

// reclassification is the data of TypeRequestReclassified.
type reclassification struct {
	Generation int64                     `json:"generation"`
	Severity   Change[v1alpha1.Severity] `json:"severity"`
	Priority   Change[v1alpha1.Priority] `json:"priority"`
	// Raised is false if the request stays as it was: values never fall.
	Raised      bool           `json:"raised"`
	Evaluations []reevaluation `json:"evaluations"`
}

// Reclassified records that the policies were evaluated for severities that the
// source had not said before, and which values the request has since.
func (s Step) Reclassified(severity Change[v1alpha1.Severity], priority Change[v1alpha1.Priority], all []Reevaluation, took time.Duration) (*audit.Event, error) {
	data := reclassification{
		Generation: s.Resource.Generation, Severity: severity, Priority: priority, Raised: severity.Changed() || priority.Changed(),
	}
	outcome := audit.OutcomeSuccess
	for i := range all {
		r := &all[i]
		data.Evaluations = append(data.Evaluations, reevaluation{
			Said:           r.Said,
			Severity:       verdictOf(string(r.Severity.Value), r.Severity.Decision),
			Priority:       verdictOf(string(r.Priority.Value), r.Priority.Decision),
			Classification: r.Classification.data(),
			Categorization: r.Categorization.data(),
		})
		if r.Classification.outcome() != audit.OutcomeSuccess || r.Categorization.outcome() != audit.OutcomeSuccess {
			outcome = audit.OutcomeFailure
		}
	}
	return s.event(content{Type: TypeRequestReclassified, Action: "reclassify", Outcome: outcome, Severity: string(severity.New)}, data, &took)
}

// End describes why a request ends.
type End struct {
	// Reason is a condition reason: ReasonResolvedBeforeExecution or ReasonStale.
	Reason string
	// LastSeenAt is when the latest signal of the request arrived.
	LastSeenAt metav1.MicroTime
	// Message says it in a sentence.
	Message string
}

// skipped is the data of TypeRequestSkipped.
type skipped struct {
	Reason string                    `json:"reason"`
	From   v1alpha1.RemediationPhase `json:"from"`
	To     v1alpha1.RemediationPhase `json:"to"`
	// Occurrences and LastSeenAt distinguish an end from one that a new signal
	// prevented.
	Occurrences int64            `json:"occurrences"`
	LastSeenAt  metav1.MicroTime `json:"last_seen_at"`
	Message     string           `json:"message"`
}

// Skipped records that a request ends without a remediation.
func Skipped(rr *v1alpha1.RemediationRequest, end End) (*audit.Event, error) {
	data := skipped{
		Reason: end.Reason, From: PhaseOf(rr), To: v1alpha1.RemediationSkipped,
		Occurrences: rr.Occurrences(), LastSeenAt: end.LastSeenAt, Message: end.Message,
	}
	return build(rr, kindRequest, content{
		Type: TypeRequestSkipped, Action: "skip", Outcome: audit.OutcomeSuccess, Severity: string(rr.Status.Severity),
	}, data, string(data.From))
}

// deleted is the data of TypeRequestDeleted.
type deleted struct {
	Cause string                    `json:"cause"`
	Phase v1alpha1.RemediationPhase `json:"phase"`
}

// The causes of a deletion.
const (
	// CauseExpired: the request had been finished for long enough.
	CauseExpired = "expired"
	// CauseRequested: somebody else deleted the request, or its namespace.
	CauseRequested = "requested"
)

// Deleted records that a request is removed from the cluster.
func Deleted(rr *v1alpha1.RemediationRequest, cause string) (*audit.Event, error) {
	data := deleted{Cause: cause, Phase: PhaseOf(rr)}
	return build(rr, kindRequest, content{
		Type: TypeRequestDeleted, Action: "delete", Outcome: audit.OutcomeSuccess, Severity: string(rr.Status.Severity),
	}, data, string(data.Phase))
}

const kindRequest = "RemediationRequest"

// PhaseOf is the phase of a request; one without a phase is pending.
func PhaseOf(rr *v1alpha1.RemediationRequest) v1alpha1.RemediationPhase {
	if rr.Status.Phase == "" {
		return v1alpha1.RemediationPending
	}
	return rr.Status.Phase
}

func verdictOf(value string, d v1alpha1.Decision) verdict {
	return verdict{Value: value, Source: d.Source, ConfidencePercent: d.ConfidencePercent}
}
