package reconstruct

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
)

// order is how far a request has come on the way without detours; ManualReview is one.
var order = map[v1alpha1.RemediationPhase]int{
	v1alpha1.RemediationPending: 1, v1alpha1.RemediationProcessing: 2, v1alpha1.RemediationClassified: 3, v1alpha1.RemediationAwaitingApproval: 4,
	v1alpha1.RemediationApproved: 5, v1alpha1.RemediationExecuting: 6, v1alpha1.RemediationVerifying: 7,
}

// moves notes that a request is in a phase from an event on.
func (b *Builder) moves(to v1alpha1.RemediationPhase, message string, e *datastorage.StoredEvent) {
	s := &b.request.Status
	if s.Phase == v1alpha1.RemediationManualReview && to != s.Phase {
		b.condition(v1alpha1.ConditionManualReview, metav1.ConditionFalse, string(to), message, e)
	}
	s.Phase, s.Message = to, message
}

func (b *Builder) condition(name string, value metav1.ConditionStatus, reason, message string, e *datastorage.StoredEvent) {
	meta.SetStatusCondition(&b.request.Status.Conditions, metav1.Condition{
		Type: name, Status: value, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(e.EventTimestamp.UTC()),
	})
}

// follows checks the phase that an event says the request was in. A request may have been behind its execution, so
// only one that was further than the trail tells shows that events are missing.
func (b *Builder) follows(from v1alpha1.RemediationPhase, e *datastorage.StoredEvent) {
	b.resume(from)
	is := b.request.Status.Phase
	lost := order[from] > order[is] && is != v1alpha1.RemediationManualReview ||
		from == v1alpha1.RemediationManualReview && is != from
	b.needf(!lost, "", "%s at %s says that the request was in phase %s, and the events before it lead to phase %s: those in between are missing",
		e.EventType, e.EventTimestamp.UTC().Format("2006-01-02T15:04:05.000Z"), from, orNone(is))
}

func orNone(p v1alpha1.RemediationPhase) string {
	if p == "" {
		return "unknown"
	}
	return string(p)
}

func (b *Builder) transition(e *datastorage.StoredEvent, _ *struct{}) {
	if order[b.request.Status.Phase] < order[v1alpha1.RemediationProcessing] && b.request.Status.Phase != v1alpha1.RemediationManualReview {
		b.moves(v1alpha1.RemediationProcessing, "", e)
	}
	b.processedBy(e)
}

func (b *Builder) processedBy(e *datastorage.StoredEvent) {
	if e.ResourceType != nil && *e.ResourceType == resourceProcessed && e.ResourceId != nil {
		b.request.Status.SignalProcessingRef = *e.ResourceId
	}
}

func (b *Builder) processed(e *datastorage.StoredEvent, d *processed) {
	b.processedBy(e)
	s := &b.request.Status
	if d.Phase == v1alpha1.ProcessingFailed {
		b.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionFalse, v1alpha1.ReasonProcessingFailed, text(e.ErrorMessage), e)
		b.moves(v1alpha1.RemediationManualReview, text(e.ErrorMessage), e)
		b.condition(v1alpha1.ConditionManualReview, metav1.ConditionTrue, v1alpha1.ReasonProcessingFailed, text(e.ErrorMessage), e)
		return
	}
	s.Severity, s.Environment, s.Priority = d.Severity, d.Environment, d.Priority
	b.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionTrue, v1alpha1.ReasonClassified, "", e)
	if b.request.Spec.SignalType == v1alpha1.SignalTypeOverflow {
		b.moves(v1alpha1.RemediationManualReview, "", e)
		b.condition(v1alpha1.ConditionManualReview, metav1.ConditionTrue, v1alpha1.ReasonOverflow, "", e)
		return
	}
	b.moves(v1alpha1.RemediationClassified, "", e)
}

// reclassified raises a request. One that waits for a person is looked at again when its severity rises.
func (b *Builder) reclassified(e *datastorage.StoredEvent, d *reclassified) {
	s := &b.request.Status
	if !d.Raised {
		return
	}
	s.Severity, s.Priority = d.Severity.New, d.Priority.New
	if s.Phase == v1alpha1.RemediationManualReview && s.SelectedSeverity != "" && d.Severity.New != s.SelectedSeverity {
		b.moves(v1alpha1.RemediationClassified, "", e)
	}
}

func (b *Builder) selected(*datastorage.StoredEvent, *struct{}) {
	b.resume(v1alpha1.RemediationClassified)
	b.request.Status.SelectedSeverity = b.request.Status.Severity
}

func (b *Builder) requested(e *datastorage.StoredEvent, d *proposal) {
	b.execution(d.Execution).requested = true
	b.request.Status.ExecutionRef = d.Execution
	if d.Approval != v1alpha1.ApprovalNone {
		b.moves(v1alpha1.RemediationAwaitingApproval, "workflow "+d.Workflow.Name+" is proposed in "+d.Execution, e)
	}
}

func (b *Builder) approved(e *datastorage.StoredEvent, d *step) {
	x := b.execution(d.Execution)
	b.needf(x.requested, "", "%s was approved, and the event of its proposal is missing", d.Execution)
	x.approved = true
	b.moves(v1alpha1.RemediationApproved, "", e)
}

func (b *Builder) started(e *datastorage.StoredEvent, d *step) {
	x := b.execution(d.Execution)
	b.needf(x.approved, "", "%s was started, and the event of its approval is missing", d.Execution)
	x.started = true
	b.moves(v1alpha1.RemediationExecuting, "", e)
}

func (b *Builder) executed(e *datastorage.StoredEvent, d *step) {
	x := b.execution(d.Execution)
	b.needf(x.started, "", "%s was completed, and the event of its start is missing", d.Execution)
	x.executed = true
	b.request.Status.RemediatedAt = at(e)
	b.moves(v1alpha1.RemediationVerifying, d.Message, e)
}

// failed ends an execution, perhaps before it touched anything. The request needs a person next, which is recorded.
func (b *Builder) failed(e *datastorage.StoredEvent, d *step) {
	if b.execution(d.Execution).started {
		b.request.Status.RemediatedAt = at(e)
	}
}

func (b *Builder) verifying(_ *datastorage.StoredEvent, d *step) {
	b.needf(b.execution(d.Execution).executed, "", "the effect of %s was observed, and the event of its completion is missing", d.Execution)
	if d.FinishedAt != nil {
		b.request.Status.RemediatedAt = micro(*d.FinishedAt)
	}
}

func (b *Builder) review(e *datastorage.StoredEvent, d *step) {
	b.follows(d.From, e)
	b.moves(v1alpha1.RemediationManualReview, d.Message, e)
	b.condition(v1alpha1.ConditionManualReview, metav1.ConditionTrue, d.Reason, d.Message, e)
	b.refersTo(d.Execution)
}

func (b *Builder) retried(e *datastorage.StoredEvent, d *step) {
	b.follows(d.From, e)
	b.request.Status.LastCommand = d.CommandUID
	b.moves(v1alpha1.RemediationClassified, d.Reason, e)
	b.condition(v1alpha1.ConditionManualReview, metav1.ConditionFalse, v1alpha1.ReasonRetried, d.Reason, e)
}

func (b *Builder) closed(e *datastorage.StoredEvent, d *step) {
	b.follows(d.From, e)
	b.request.Status.LastCommand = d.CommandUID
	b.refersTo(d.Execution)
	b.finish(v1alpha1.RemediationCompleted, v1alpha1.ReasonClosed, d.Reason, e)
}

func (b *Builder) ended(e *datastorage.StoredEvent, d *step) {
	b.follows(d.From, e)
	b.refersTo(d.Execution)
	b.finish(d.To, d.Reason, d.Message, e)
}

func (b *Builder) finish(to v1alpha1.RemediationPhase, reason, message string, e *datastorage.StoredEvent) {
	if !b.request.Status.Phase.Terminal() {
		b.before = b.request.Status.DeepCopy()
	}
	b.moves(to, message, e)
	b.request.Status.CompletedAt = at(e)
	b.condition(v1alpha1.ConditionFinished, metav1.ConditionTrue, reason, message, e)
}

// resume takes an end back that a signal prevented after its event was recorded: the request goes on from the phase
// that it was in.
func (b *Builder) resume(from v1alpha1.RemediationPhase) {
	s := &b.request.Status
	if !s.Phase.Terminal() || b.before == nil || b.before.Phase != from {
		return
	}
	s.Phase, s.Message, s.CompletedAt, s.Conditions = b.before.Phase, b.before.Message, nil, b.before.Conditions
	b.before = nil
}

// refersTo is the execution that the request refers to, as an event about the request says.
func (b *Builder) refersTo(execution string) {
	if execution == "" {
		return
	}
	b.request.Status.ExecutionRef = execution
	b.execution(execution)
}

func (b *Builder) execution(name string) *execution {
	if x := b.executions[name]; x != nil {
		return x
	}
	x := &execution{}
	if len(b.executions) == maxExecutions {
		b.dropped++
		return &execution{requested: true, approved: true, started: true, executed: true} // not checked
	}
	b.executions[name] = x
	return x
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
