package auditevents

import (
	"encoding/json"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

// transition is the data of TypePhaseTransition.
type transition struct {
	From       v1alpha1.ProcessingPhase `json:"from"`
	To         v1alpha1.ProcessingPhase `json:"to"`
	Generation int64                    `json:"generation"`
}

// Transition records that the resource moves from the step's phase to another.
func (s Step) Transition(to v1alpha1.ProcessingPhase) (*audit.Event, error) {
	return s.event(content{
		Type:    TypePhaseTransition,
		Action:  "phase_transition",
		Outcome: outcomeOf(to),
	}, transition{From: s.Phase, To: to, Generation: s.Resource.Generation}, nil)
}

// target is the object that the signal is about.
type target struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// enrichment is the data of TypeEnrichmentCompleted. It contains the whole context:
// together with the signal that is the policies' input, so that decisions can be
// replayed from the trail alone.
type enrichment struct {
	Generation int64                     `json:"generation"`
	Target     target                    `json:"target"`
	Degraded   bool                      `json:"degraded"`
	Context    *v1alpha1.EnrichedContext `json:"context"`
}

// Enriched records the result of enrichment.
func (s Step) Enriched(found *v1alpha1.EnrichedContext, took time.Duration) (*audit.Event, error) {
	of := s.Resource.Spec.Signal.TargetResource
	return s.event(content{
		Type:    TypeEnrichmentCompleted,
		Action:  "enrich",
		Outcome: audit.OutcomeSuccess,
	}, enrichment{
		Generation: s.Resource.Generation,
		Target:     target{Kind: of.Kind, Name: of.Name, Namespace: of.Namespace},
		Degraded:   found.Degraded,
		Context:    found,
	}, &took)
}

// Evidence is what a decision is based on.
type Evidence struct {
	Policy v1alpha1.Policy
	// Input is the policies' input in JSON.
	Input       json.RawMessage
	InputSHA256 string
	// PolicyError says why a default was used, in words that do not vary between
	// repetitions of the decision; empty if the policies decided.
	PolicyError string
}

// evidence is the form of Evidence in an event's data.
type evidence struct {
	PolicySHA256 string `json:"policy_sha256"`
	PolicyOrigin string `json:"policy_origin"`
	InputSHA256  string `json:"input_sha256"`
	// Input has the labels and annotations of the signal and its target, which may be
	// sensitive. It is left out if it is too large: then InputOmitted is true.
	Input        json.RawMessage `json:"policy_input,omitempty"`
	InputOmitted bool            `json:"policy_input_omitted,omitempty"`
	PolicyError  string          `json:"policy_error,omitempty"`
}

// maxInput bounds an input that an event carries, in bytes.
const maxInput = 32 << 10

func (e Evidence) data() evidence {
	data := evidence{
		PolicySHA256: e.Policy.SHA256,
		PolicyOrigin: e.Policy.Origin,
		InputSHA256:  e.InputSHA256,
		Input:        e.Input,
		PolicyError:  e.PolicyError,
	}
	if len(e.Input) > maxInput {
		data.Input, data.InputOmitted = nil, true
	}
	return data
}

// outcome of a decision: a default that replaces a failed policy is a failure.
func (e Evidence) outcome() audit.Outcome {
	if e.PolicyError != "" {
		return audit.OutcomeFailure
	}
	return audit.OutcomeSuccess
}

// verdict is a decided value with its evidence.
type verdict struct {
	Value             string `json:"value"`
	Source            string `json:"source"`
	ConfidencePercent int32  `json:"confidence_percent"`
}

// classification is the data of TypeClassificationDecision.
type classification struct {
	evidence

	Generation  int64   `json:"generation"`
	Severity    verdict `json:"severity"`
	Environment verdict `json:"environment"`
}

// Classified records the decided severity and environment.
func (s Step) Classified(severity v1alpha1.SeverityDecision, environment v1alpha1.EnvironmentDecision, e Evidence, took time.Duration) (*audit.Event, error) {
	return s.event(content{
		Type:     TypeClassificationDecision,
		Action:   "classify",
		Outcome:  e.outcome(),
		Severity: string(severity.Value),
	}, classification{
		Generation:  s.Resource.Generation,
		Severity:    verdictOf(string(severity.Value), severity.Decision),
		Environment: verdictOf(string(environment.Value), environment.Decision),
		evidence:    e.data(),
	}, &took)
}

// business describes who owns the affected service.
type business struct {
	Unit         string               `json:"unit,omitempty"`
	ServiceOwner string               `json:"service_owner,omitempty"`
	Criticality  v1alpha1.Criticality `json:"criticality"`
	SLA          string               `json:"sla,omitempty"`
}

// categorization is the data of TypeBusinessClassified.
type categorization struct {
	evidence

	Generation int64    `json:"generation"`
	Priority   verdict  `json:"priority"`
	Business   business `json:"business"`
}

// Categorized records the decided priority and business owner.
func (s Step) Categorized(priority v1alpha1.PriorityDecision, b v1alpha1.Business, e Evidence, took time.Duration) (*audit.Event, error) {
	return s.event(content{
		Type:     TypeBusinessClassified,
		Action:   "categorize",
		Outcome:  e.outcome(),
		Severity: severityOf(s.Resource),
	}, categorization{
		Generation: s.Resource.Generation,
		Priority:   verdictOf(string(priority.Value), priority.Decision),
		Business:   business{Unit: b.Unit, ServiceOwner: b.ServiceOwner, Criticality: b.Criticality, SLA: b.SLA},
		evidence:   e.data(),
	}, &took)
}

// processed is the data of TypeSignalProcessed.
type processed struct {
	Generation  int64                    `json:"generation"`
	Phase       v1alpha1.ProcessingPhase `json:"phase"`
	Degraded    bool                     `json:"degraded"`
	Severity    v1alpha1.Severity        `json:"severity,omitempty"`
	Environment v1alpha1.Environment     `json:"environment,omitempty"`
	Priority    v1alpha1.Priority        `json:"priority,omitempty"`
}

// Processed records that processing ends with the given status. took is the
// duration of processing of this generation.
func (s Step) Processed(end *v1alpha1.SignalProcessingStatus, took time.Duration) (*audit.Event, error) {
	data := processed{Generation: s.Resource.Generation, Phase: end.Phase}
	c := content{Type: TypeSignalProcessed, Action: "process", Outcome: outcomeOf(end.Phase)}
	if end.Context != nil {
		data.Degraded = end.Context.Degraded
	}
	if end.Severity != nil {
		data.Severity = end.Severity.Value
		c.Severity = string(end.Severity.Value)
	}
	if end.Environment != nil {
		data.Environment = end.Environment.Value
	}
	if end.Priority != nil {
		data.Priority = end.Priority.Value
	}
	return s.event(c, data, &took)
}

// Failure describes why an attempt at a step failed, in words that do not vary
// between repetitions of the attempt.
type Failure struct {
	// Code of the failure, for example "forbidden".
	Code string
	// Message says what could not be done.
	Message string
	// Final is true if no attempt follows.
	Final bool
}

// failure is the data of TypeErrorOccurred.
type failure struct {
	Generation int64                    `json:"generation"`
	Phase      v1alpha1.ProcessingPhase `json:"phase"`
	// Attempt is the number of the failed attempt, from 1.
	Attempt int32 `json:"attempt"`
	Final   bool  `json:"final"`
}

// Failed records that an attempt at the step failed.
func (s Step) Failed(f Failure) (*audit.Event, error) {
	return s.event(content{
		Type:         TypeErrorOccurred,
		Action:       "error",
		Outcome:      audit.OutcomeFailure,
		ErrorCode:    f.Code,
		ErrorMessage: f.Message,
	}, failure{Generation: s.Resource.Generation, Phase: s.Phase, Attempt: s.Attempt + 1, Final: f.Final}, nil)
}

func outcomeOf(to v1alpha1.ProcessingPhase) audit.Outcome {
	if to == v1alpha1.ProcessingFailed {
		return audit.OutcomeFailure
	}
	return audit.OutcomeSuccess
}

func severityOf(sp *v1alpha1.SignalProcessing) string {
	if sp.Status.Severity == nil {
		return ""
	}
	return string(sp.Status.Severity.Value)
}
