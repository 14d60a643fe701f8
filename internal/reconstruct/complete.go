package reconstruct

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"kubernaut.ai/api/v1alpha1"
)

// Result ends the reading. It says which fields the trail does not tell, although it should by the phase that the
// request has reached.
func (b *Builder) Result() *Result {
	b.spec()
	b.status()
	b.steps()
	if b.dropped > 0 {
		b.missingf("", "the steps of executions beyond the first %d were not checked", maxExecutions)
	}
	r := b.result
	r.Request = b.request
	return &r
}

func (b *Builder) spec() {
	rr := b.request
	b.needf(rr.UID != "", "metadata", "there is no event %s, which has the namespace and the UID", typeCreated)
	if rr.UID != "" {
		b.approximate("metadata", "labels, annotations, finalizers and generation are not in the trail")
		b.approximate("metadata.creationTimestamp", "it is the time of event "+typeCreated)
	}
	b.needf(b.created, "spec", "there is no event %s with the spec in its data", typeCreated)
	if b.created {
		b.needf(rr.Spec.OriginalPayload != "" || rr.Spec.SignalType == v1alpha1.SignalTypeOverflow, "spec.originalPayload", "the spec that was recorded has none")
	}
}

func (b *Builder) status() {
	s := &b.request.Status
	b.needf(s.Phase != "", "status.phase", "there is no event that tells a phase")
	if b.request.Spec.SignalType != v1alpha1.SignalTypeOverflow {
		b.needf(s.Deduplication != nil, "status.deduplication", "there is no event %s, which is the first signal", typeReceived)
		b.needf(s.Signals != nil, "status.signals", "there is no event of a signal")
	}
	if s.Deduplication != nil {
		b.approximate("status.deduplication", "its times are those of the events; the request itself is updated at most once a second")
	}
	if !b.instances {
		s.Signals = nil // as long as the first signal is the only one, the request lists none
	}
	classified := b.seen[typeProcessed] || order[s.Phase] >= order[v1alpha1.RemediationClassified] || len(b.executions) > 0
	if classified {
		processed := b.seen[typeProcessed]
		b.needf(processed, "status.severity", "there is no event %s, which has the result of the classification", typeProcessed)
		b.needf(processed, "status.environment", "there is no event %s", typeProcessed)
		b.needf(processed, "status.priority", "there is no event %s", typeProcessed)
	}
	if len(b.executions) > 0 {
		b.needf(s.ExecutionRef != "", "status.executionRef", "no event names the latest execution")
	}
	if s.Phase.Terminal() {
		b.result.Rebuilt++ // the event that ended the request has the time
		b.approximate("status.completedAt", "it is the time of the event, which is recorded before the request shows it")
	}
	if len(s.Conditions) > 0 {
		b.approximate("status.conditions", "their times are those of the events; messages that no event has are empty")
	}
}

// steps checks that what happened has all of its events.
func (b *Builder) steps() {
	s := &b.request.Status
	if b.seen[typeProcessed] && s.Severity != "" {
		for _, step := range []string{typeEnriched, typeClassified, typeBusiness} {
			b.needf(b.seen[step], "", "the signal was processed, and there is no event %s", step)
		}
	}
	if b.seen[typeRequested] {
		b.needf(b.seen[typeSelected], "", "a workflow was proposed, and there is no event %s", typeSelected)
	}
	if finished := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionFinished); finished != nil && finished.Reason == v1alpha1.ReasonEffective {
		b.needf(b.seen[typeEffective], "", "the remediation was effective, and there is no event %s", typeEffective)
	}
}
