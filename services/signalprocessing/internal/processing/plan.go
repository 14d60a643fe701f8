package processing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
)

// plan is the decided outcome of a step, before it is committed.
type plan struct {
	// events to record, in this order, before status is written.
	events []*audit.Event
	status v1alpha1.SignalProcessingStatus
	// retryAfter is the delay before the next attempt; zero if the next step
	// follows at once.
	retryAfter time.Duration
	// failure is why the attempt failed.
	failure error
	// severity and priority are set if they change after processing has ended.
	severity auditevents.Change[v1alpha1.Severity]
	priority auditevents.Change[v1alpha1.Priority]
}

// with adds an event to the plan.
func (p *plan) with(e *audit.Event, err error) error {
	if err != nil {
		return fmt.Errorf("build audit event: %w", err)
	}
	p.events = append(p.events, e)
	return nil
}

// to completes a plan with a transition to another phase.
func (p *plan) to(step auditevents.Step, next v1alpha1.ProcessingPhase, message string) (*plan, error) {
	p.status.Phase = next
	p.status.Attempt = 0
	p.status.Message = shown(message)
	if err := p.with(step.Transition(next)); err != nil {
		return nil, err
	}
	return p, nil
}

// plan decides the next step of a resource; nil if there is none. said are the
// severities, as the source said them, of the request's signals.
func (r *Processor) plan(ctx context.Context, sp *v1alpha1.SignalProcessing, said []string) (*plan, error) {
	step := auditevents.StepOf(sp)
	if sp.Status.Phase != "" && sp.Status.ObservedGeneration != sp.Generation {
		return r.restart(step, nil, fmt.Sprintf("generation %d waits for processing", sp.Generation))
	}
	switch step.Phase {
	case v1alpha1.ProcessingPending:
		return r.start(step, said)
	case v1alpha1.ProcessingEnriching:
		return r.enrich(ctx, step)
	case v1alpha1.ProcessingClassifying:
		return r.classify(ctx, step)
	case v1alpha1.ProcessingCategorizing:
		return r.categorize(ctx, step)
	case v1alpha1.ProcessingCompleted:
		if news := unseen(sp, said); len(news) > 0 {
			return r.reclassify(ctx, step, news)
		}
	case v1alpha1.ProcessingFailed:
		if news := unseen(sp, said); len(news) > 0 {
			return r.restart(step, news, "waits for processing again, because the source says another severity")
		}
	}
	return nil, nil //nolint:nilnil // there is no step
}

// restart returns a resource to Pending and clears its results. The severities that
// made a failed one begin anew are kept, so that they do so once.
func (r *Processor) restart(step auditevents.Step, news []string, message string) (*plan, error) {
	p := &plan{status: v1alpha1.SignalProcessingStatus{ObservedGeneration: step.Resource.Generation}}
	if news != nil {
		p.status.Severities = slices.Concat(step.Resource.Status.Severities, news)
	}
	r.resetConditions(&p.status)
	return p.to(step, v1alpha1.ProcessingPending, message)
}

func (r *Processor) start(step auditevents.Step, said []string) (*plan, error) {
	now := metav1.NewMicroTime(r.Clock.Now())
	sp := step.Resource
	p := &plan{status: v1alpha1.SignalProcessingStatus{ObservedGeneration: sp.Generation, StartedAt: &now}}
	p.status.Severities = slices.Concat(sp.Status.Severities, unseen(sp, append([]string{sp.Spec.Signal.Severity}, said...)))
	p.status.Conditions = sp.Status.DeepCopy().Conditions
	r.resetConditions(&p.status)
	return p.to(step, v1alpha1.ProcessingEnriching, "reading the target from the cluster")
}

func (r *Processor) enrich(ctx context.Context, step auditevents.Step) (*plan, error) {
	work, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	start := r.Clock.Now()
	found, err := r.contextOf(work, step.Resource)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("enrich: %w", ctx.Err())
	case err != nil:
		return r.failed(step, err)
	}
	p := &plan{status: *step.Resource.Status.DeepCopy()}
	p.status.Context = found
	if err := p.with(step.Enriched(found, r.Clock.Since(start))); err != nil {
		return nil, err
	}
	reason, message := "Enriched", "the target was found"
	if found.Degraded {
		reason, message = "Degraded", found.DegradedReason
	}
	r.condition(&p.status, v1alpha1.ConditionEnrichmentComplete, metav1.ConditionTrue, reason, message)
	return p.to(step, v1alpha1.ProcessingClassifying, message)
}

// contextOf collects the context of a resource's target. It is shown to those who may read requests in
// the resource's namespace, and whoever may create one names the target. So nothing outside of the
// namespace is read, except for the requests in the Gateway's, where it puts those about such targets.
func (r *Processor) contextOf(ctx context.Context, sp *v1alpha1.SignalProcessing) (*v1alpha1.EnrichedContext, error) {
	target := sp.Spec.Signal.TargetResource
	if sp.Namespace != r.options.GatewayNamespace && enrich.Outside(sp.Namespace, target) {
		reason := fmt.Sprintf("the target is not in namespace %q, where the request is, so it was not read", sp.Namespace)
		return &v1alpha1.EnrichedContext{Degraded: true, DegradedReason: reason}, nil
	}
	return r.Enricher.Enrich(ctx, target) //nolint:wrapcheck // names what could not be read
}

// failed plans another attempt, or the failure of processing after the last one.
func (r *Processor) failed(step auditevents.Step, cause error) (*plan, error) {
	code, stable := enrich.Describe(cause)
	final := step.Attempt+1 >= r.options.MaxAttempts
	p := &plan{status: *step.Resource.Status.DeepCopy(), failure: cause}
	p.status.Attempt = step.Attempt + 1
	p.status.Message = shown(fmt.Sprintf("attempt %d of %d: %v", step.Attempt+1, r.options.MaxAttempts, cause))
	r.condition(&p.status, v1alpha1.ConditionEnrichmentComplete, metav1.ConditionFalse, reasonOf(code), p.status.Message)
	if err := p.with(step.Failed(auditevents.Failure{Code: code, Message: stable, Final: final})); err != nil {
		return nil, err
	}
	if !final {
		p.retryAfter = r.backoff(step.Attempt)
		return p, nil
	}
	message := p.status.Message
	if err := r.end(p, step, v1alpha1.ProcessingFailed, message); err != nil {
		return nil, err
	}
	attempts := p.status.Attempt
	if _, err := p.to(step, v1alpha1.ProcessingFailed, message); err != nil {
		return nil, err
	}
	p.status.Attempt = attempts
	return p, nil
}

// backoff is the delay after the failed attempt with this index, from 0.
func (r *Processor) backoff(attempt int32) time.Duration {
	wait := r.options.FirstBackoff
	for range attempt {
		if wait *= 2; wait >= r.options.MaxBackoff {
			return r.options.MaxBackoff
		}
	}
	return wait
}

func (r *Processor) classify(ctx context.Context, step auditevents.Step) (*plan, error) {
	sp := step.Resource
	start := r.Clock.Now()
	all := sp.Status.Severities
	if len(all) == 0 {
		all = []string{sp.Spec.Signal.Severity}
	}
	results := make([]classify.Classification, 0, len(all))
	severities := make([]v1alpha1.Severity, 0, len(all))
	for _, said := range all {
		in := classify.NewInput(stateTime(sp), &sp.Spec.Signal, sp.Status.Context)
		in.Signal.Severity = said
		result, err := r.Classifier.Classify(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("classify: %w", err)
		}
		results, severities = append(results, result), append(severities, result.Severity.Value)
	}
	decided := &results[worst(severities)]
	p := &plan{status: *sp.Status.DeepCopy()}
	p.status.Severity, p.status.Environment, p.status.Policy = &decided.Severity, &decided.Environment, &decided.Policy
	if err := p.with(step.Classified(decided.Severity, decided.Environment, evidence(decided.Evidence), r.Clock.Since(start))); err != nil {
		return nil, err
	}
	message := fmt.Sprintf("severity %s (%s), environment %s (%s)",
		decided.Severity.Value, decided.Severity.Source, decided.Environment.Value, decided.Environment.Source)
	r.decision(&p.status, v1alpha1.ConditionClassificationComplete, "Classified", message, decided.PolicyDetail)
	return p.to(step, v1alpha1.ProcessingCategorizing, message)
}

func (r *Processor) categorize(ctx context.Context, step auditevents.Step) (*plan, error) {
	sp := step.Resource
	in := classify.NewInput(stateTime(sp), &sp.Spec.Signal, sp.Status.Context)
	in.Decided(sp.Status.Severity, sp.Status.Environment)
	start := r.Clock.Now()
	decided, err := r.Classifier.Categorize(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("categorize: %w", err)
	}
	p := &plan{status: *sp.Status.DeepCopy()}
	p.status.Priority, p.status.Business, p.status.Policy = &decided.Priority, &decided.Business, &decided.Policy
	if err := p.with(step.Categorized(decided.Priority, decided.Business, evidence(decided.Evidence), r.Clock.Since(start))); err != nil {
		return nil, err
	}
	message := "priority " + string(decided.Priority.Value)
	r.decision(&p.status, v1alpha1.ConditionCategorizationComplete, "Categorized", message, decided.PolicyDetail)
	if err := r.end(p, step, v1alpha1.ProcessingCompleted, "classified with "+message); err != nil {
		return nil, err
	}
	return p.to(step, v1alpha1.ProcessingCompleted, p.status.Message)
}

// end completes the status of the last step and adds the event that ends processing.
func (r *Processor) end(p *plan, step auditevents.Step, phase v1alpha1.ProcessingPhase, message string) error {
	now := metav1.NewMicroTime(r.Clock.Now())
	p.status.Phase, p.status.CompletedAt, p.status.Message = phase, &now, shown(message)
	ready := metav1.ConditionTrue
	if phase == v1alpha1.ProcessingFailed {
		ready = metav1.ConditionFalse
	}
	r.condition(&p.status, v1alpha1.ConditionReady, ready, string(phase), message)
	var took time.Duration
	if p.status.StartedAt != nil {
		// Another leader's clock may have been ahead of this one's.
		took = max(now.Sub(p.status.StartedAt.Time), 0)
	}
	return p.with(step.Processed(&p.status, took))
}

// stateTime is when a resource came into the phase that it is in, in the whole seconds
// that conditions have: when the step before was completed. It does not depend on what
// later steps have left in the status.
func stateTime(sp *v1alpha1.SignalProcessing) time.Time {
	before := map[v1alpha1.ProcessingPhase]string{
		v1alpha1.ProcessingClassifying:  v1alpha1.ConditionEnrichmentComplete,
		v1alpha1.ProcessingCategorizing: v1alpha1.ConditionClassificationComplete,
		v1alpha1.ProcessingCompleted:    v1alpha1.ConditionReady,
	}
	if c := meta.FindStatusCondition(sp.Status.Conditions, before[sp.Status.Phase]); c != nil {
		return c.LastTransitionTime.Truncate(time.Second)
	}
	return sp.CreationTimestamp.Time
}

func evidence(e classify.Evidence) auditevents.Evidence {
	return auditevents.Evidence{Policy: e.Policy, Input: e.Input, InputSHA256: e.InputSHA256, PolicyError: e.PolicyError}
}
