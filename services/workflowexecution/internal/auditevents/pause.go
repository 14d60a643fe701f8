package auditevents

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// The events about the pause of executions.
const (
	TypePaused  = "remediation.paused"
	TypeResumed = "remediation.resumed"
)

// The trails of pauses, which are no request's.
const (
	trailSwitch    = "pause-cluster"
	trailNamespace = "pause-namespace-"
)

// pause is the data of TypePaused and TypeResumed.
type pause struct {
	Paused bool `json:"paused"`
	// Namespace is empty for the whole cluster.
	Namespace string `json:"namespace,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// ChangedBy is who wrote the PauseSwitch, as the API server authenticated them. The author of
	// a namespace's label cannot be proved: FieldManager is what the writer called itself.
	ChangedBy    *v1alpha1.Decider `json:"changed_by,omitempty"`
	FieldManager string            `json:"field_manager,omitempty"`
	ChangedAt    *time.Time        `json:"changed_at,omitempty"`
}

// SwitchChanged records what the PauseSwitch says. Repeated for the same generation it is the
// same event. The actor is who wrote it.
func SwitchChanged(s *v1alpha1.PauseSwitch) (*audit.Event, error) {
	c := pausing(pause{Paused: s.Spec.Paused, Reason: s.Spec.Reason, ChangedBy: &s.Spec.ChangedBy})
	c.Actor = Person(s.Spec.ChangedBy)
	e, err := build(c, s.CreationTimestamp.Time, []string{string(s.UID), strconv.FormatInt(s.Generation, 10)})
	if err != nil {
		return nil, err
	}
	e.CorrelationID, e.ResourceType, e.ResourceID = trailSwitch, "PauseSwitch", s.Name
	return e, nil
}

// NamespaceChanged records that the label of a namespace pauses executions there, or does no
// longer. The actor is this service, which saw it; writer is the entry of the label's field
// manager, nil if there is none.
func NamespaceChanged(ns *metav1.PartialObjectMetadata, paused bool, writer *metav1.ManagedFieldsEntry) (*audit.Event, error) {
	data := pause{Paused: paused, Namespace: ns.Name}
	if writer != nil {
		data.FieldManager = writer.Manager
		if writer.Time != nil {
			at := writer.Time.UTC()
			data.ChangedAt = &at
		}
	}
	// The state is told apart from an earlier one by its resource version.
	e, err := build(pausing(data), ns.CreationTimestamp.Time, []string{string(ns.UID), ns.ResourceVersion})
	if err != nil {
		return nil, err
	}
	e.CorrelationID, e.Namespace = trailNamespace+ns.Name, ns.Name
	e.ResourceType, e.ResourceID = "Namespace", ns.Name
	return e, nil
}

func pausing(data pause) Content {
	if data.Paused {
		return Content{Type: TypePaused, Action: "pause", Outcome: audit.OutcomeSuccess, Data: data}
	}
	return Content{Type: TypeResumed, Action: "resume", Outcome: audit.OutcomeSuccess, Data: data}
}
