package auditevents

import (
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The types of the events about a request.
const (
	TypeManualReview   = "remediation.manual_review.required"
	TypeRequestClosed  = "remediation.request.closed"
	TypeRequestRetried = "remediation.request.retried"
)

// review is the data of TypeManualReview.
type review struct {
	Reason    string                    `json:"reason"`
	Message   string                    `json:"message"`
	From      v1alpha1.RemediationPhase `json:"from"`
	Execution string                    `json:"execution,omitempty"`
}

// ManualReview records that a request needs a person.
func ManualReview(rr *v1alpha1.RemediationRequest, reason, message string) (*audit.Event, error) {
	return OfRequest(rr, Content{
		Type: TypeManualReview, Action: "require_review", Outcome: audit.OutcomeSuccess,
		Data: review{Reason: reason, Message: message, From: rr.Status.Phase, Execution: rr.Status.ExecutionRef},
	})
}

// commanded is the data of the events about commands.
type commanded struct {
	Command   string                    `json:"command"`
	UID       types.UID                 `json:"command_uid"`
	Reason    string                    `json:"reason"`
	By        v1alpha1.Decider          `json:"requested_by"`
	From      v1alpha1.RemediationPhase `json:"from"`
	Execution string                    `json:"execution,omitempty"`
}

// Commanded records what a person wants done with a request, before it is done. The actor is
// the author of the command.
func Commanded(rr *v1alpha1.RemediationRequest, c *v1alpha1.RemediationCommand) (*audit.Event, error) {
	content := Content{
		Type: TypeRequestRetried, Action: "retry", Outcome: audit.OutcomeSuccess, Actor: Person(c.Spec.RequestedBy),
		Data: commanded{
			Command: c.Name, UID: c.UID, Reason: c.Spec.Reason, By: c.Spec.RequestedBy,
			From: rr.Status.Phase, Execution: rr.Status.ExecutionRef,
		},
	}
	if c.Spec.Command == v1alpha1.CommandClose {
		content.Type, content.Action = TypeRequestClosed, "close"
	}
	return OfRequest(rr, content)
}
