package processing

import (
	"context"
	"fmt"
	"slices"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

// reclassify plans the step of a completed resource whose source has said other
// severities. It raises severity and priority where the policies ask for it.
func (r *Processor) reclassify(ctx context.Context, step auditevents.Step, news []string) (*plan, error) {
	sp := step.Resource
	if sp.Status.Severity == nil || sp.Status.Priority == nil || sp.Status.Environment == nil {
		return nil, fmt.Errorf("reclassify: the status is %s and lacks a decision", sp.Status.Phase)
	}
	start := r.Clock.Now()
	severities := []v1alpha1.SeverityDecision{*sp.Status.Severity}
	priorities := []v1alpha1.PriorityDecision{*sp.Status.Priority}
	evaluations := make([]auditevents.Reevaluation, 0, len(news))
	for _, said := range news {
		e, err := r.evaluate(ctx, sp, said)
		if err != nil {
			return nil, fmt.Errorf("reclassify: %w", err)
		}
		evaluations = append(evaluations, e)
		severities, priorities = append(severities, e.Severity), append(priorities, e.Priority)
	}
	severity := severities[worst(values(severities, func(d v1alpha1.SeverityDecision) v1alpha1.Severity { return d.Value }))]
	priority := priorities[mostUrgent(values(priorities, func(d v1alpha1.PriorityDecision) v1alpha1.Priority { return d.Value }))]

	p := &plan{status: *sp.Status.DeepCopy()}
	p.severity = auditevents.Change[v1alpha1.Severity]{Old: sp.Status.Severity.Value, New: severity.Value}
	p.priority = auditevents.Change[v1alpha1.Priority]{Old: sp.Status.Priority.Value, New: priority.Value}
	p.status.Severities = slices.Concat(p.status.Severities, news)
	if p.raises() {
		p.status.Severity, p.status.Priority, p.status.Policy = &severity, &priority, &evaluations[len(evaluations)-1].Categorization.Policy
		p.status.Message = shown(p.raised())
	}
	return p, p.with(step.Reclassified(p.severity, p.priority, evaluations, r.Clock.Since(start)))
}

// evaluate asks the policies about a severity, with the signal and the context that the
// earlier decisions are based on. The environment stays.
func (r *Processor) evaluate(ctx context.Context, sp *v1alpha1.SignalProcessing, said string) (auditevents.Reevaluation, error) {
	in := classify.NewInput(stateTime(sp), &sp.Spec.Signal, sp.Status.Context)
	in.Signal.Severity = said
	classified, err := r.Classifier.Classify(ctx, in)
	if err != nil {
		return auditevents.Reevaluation{}, err //nolint:wrapcheck // names the step
	}
	in.Decided(&classified.Severity, sp.Status.Environment)
	categorized, err := r.Classifier.Categorize(ctx, in)
	if err != nil {
		return auditevents.Reevaluation{}, err //nolint:wrapcheck // names the step
	}
	return auditevents.Reevaluation{
		Said: said, Severity: classified.Severity, Priority: categorized.Priority,
		Classification: evidence(classified.Evidence), Categorization: evidence(categorized.Evidence),
	}, nil
}

// raises reports whether the plan raises a value after processing has ended.
func (p *plan) raises() bool { return p.severity.Changed() || p.priority.Changed() }

// raised says which values the plan raises.
func (p *plan) raised() string {
	return fmt.Sprintf("severity %s → %s, priority %s → %s", p.severity.Old, p.severity.New, p.priority.Old, p.priority.New)
}

func values[D, V any](decisions []D, value func(D) V) []V {
	all := make([]V, 0, len(decisions))
	for i := range decisions {
		all = append(all, value(decisions[i]))
	}
	return all
}
