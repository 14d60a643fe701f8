package processing

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit/wire"
)

// maxMessage is the length of a message in characters.
const maxMessage = 1024

// condition sets one condition of a status.
func (r *Processor) condition(status *v1alpha1.SignalProcessingStatus, name string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type:               name,
		Status:             value,
		ObservedGeneration: status.ObservedGeneration,
		LastTransitionTime: metav1.NewTime(r.Clock.Now()),
		Reason:             reason,
		Message:            shown(message),
	})
}

// resetConditions sets every condition to its value before the first step.
func (r *Processor) resetConditions(status *v1alpha1.SignalProcessingStatus) {
	for _, name := range []string{
		v1alpha1.ConditionEnrichmentComplete, v1alpha1.ConditionClassificationComplete,
		v1alpha1.ConditionCategorizationComplete, v1alpha1.ConditionReady,
	} {
		r.condition(status, name, metav1.ConditionFalse, "InProgress", "")
	}
}

// decision sets the condition of a decision. Its reason shows a default that
// replaces a failed policy, in the words of the policy engine.
func (r *Processor) decision(status *v1alpha1.SignalProcessingStatus, name, reason, message, policyDetail string) {
	if policyDetail != "" {
		reason, message = "PolicyFailed", policyDetail
	}
	r.condition(status, name, metav1.ConditionTrue, reason, message)
}

// reasonOf returns the condition reason of an error code: Forbidden for forbidden.
func reasonOf(code string) string {
	return strings.ToUpper(code[:1]) + code[1:]
}

// shown is a message as tables show it: in one line, bounded, and without what is not visible. It may quote others.
func shown(message string) string {
	return wire.TruncateCharacters(printable.Line(message), maxMessage)
}
