package testenv

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/gomega/format"
	"github.com/onsi/gomega/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
)

// The events that every trail of a signal has.
const (
	SignalReceived  = "gateway.signal.received"
	RequestCreated  = "gateway.crd.created"
	PhaseTransition = "signalprocessing.phase.transition"
)

// Step is a transition of processing.
type Step struct {
	From, To v1alpha1.ProcessingPhase
	// Work are the events of what is done in the phase that it leaves, in order.
	Work []string
}

// Steps are all of them, in order, where processing meets no trouble.
var Steps = []Step{
	{From: v1alpha1.ProcessingPending, To: v1alpha1.ProcessingEnriching},
	{
		From: v1alpha1.ProcessingEnriching, To: v1alpha1.ProcessingClassifying,
		Work: []string{"signalprocessing.enrichment.completed"},
	},
	{
		From: v1alpha1.ProcessingClassifying, To: v1alpha1.ProcessingCategorizing,
		Work: []string{"signalprocessing.classification.decision"},
	},
	{
		From: v1alpha1.ProcessingCategorizing, To: v1alpha1.ProcessingCompleted,
		Work: []string{"signalprocessing.business.classified", "signalprocessing.signal.processed"},
	},
}

// StepsTo are the steps that were made when processing is in a phase; none
// where the phase is not on the way.
func StepsTo(phase v1alpha1.ProcessingPhase) []Step {
	return Steps[:slices.IndexFunc(Steps, func(s Step) bool { return s.To == phase })+1]
}

// events are those of the step, as Trail.said names them.
func (s Step) events() []string {
	return append(slices.Clone(s.Work), fmt.Sprintf("%s from %s to %s", PhaseTransition, s.From, s.To))
}

// eventsOf are those of steps.
func eventsOf(steps []Step) []string {
	var events []string
	for _, s := range steps {
		events = append(events, s.events()...)
	}
	return events
}

// said names each event by its type, and a transition by its phases too.
func (t Trail) said() []string {
	names := t.Types()
	for i := range t {
		if names[i] == PhaseTransition {
			from, fromErr := audittrail.DataValue(t[i].EventData, "from")
			to, toErr := audittrail.DataValue(t[i].EventData, "to")
			if err := errors.Join(fromErr, toErr); err != nil {
				names[i] += ": " + err.Error()
				continue
			}
			names[i] += fmt.Sprintf(" from %v to %v", from, to)
		}
	}
	return names
}

// miscounted says which of the events are not there exactly once.
func (t Trail) miscounted(events []string) []string {
	times := map[string]int{}
	for _, name := range t.said() {
		times[name]++
	}
	var texts []string
	for _, name := range events {
		if times[name] != 1 {
			texts = append(texts, fmt.Sprintf("%s is there %d times", name, times[name]))
		}
	}
	return texts
}

// repeated says which events are there twice, by their ids.
func (t Trail) repeated() []string {
	ids := map[string]bool{}
	var texts []string
	for i := range t {
		id := t[i].EventId.String()
		if ids[id] {
			texts = append(texts, "event "+id+" is there twice")
		}
		ids[id] = true
	}
	return texts
}

// HaveSteps matches a Trail that has every event of the steps, each once.
// Others may be there: processing went on.
func HaveSteps(steps []Step) types.GomegaMatcher {
	return trailMatcher{
		what:     fmt.Sprintf("have every event of %d steps, each once", len(steps)),
		mismatch: func(t Trail) []string { return append(t.miscounted(eventsOf(steps)), t.repeated()...) },
	}
}

// BeProcessed matches the whole trail of a signal that was processed without
// trouble: the Gateway's events, and those of all steps, and nothing else but
// what WorkflowExecution has said about the request so far, each once.
// Each service's events are in the order in which it accepted them; the
// services work at the same time.
func BeProcessed(gateway ...string) types.GomegaMatcher {
	return trailMatcher{
		what: "be the whole trail of a processed signal",
		mismatch: func(t Trail) []string {
			texts := t.repeated()
			var saidByGateway, saidByOthers []string
			for _, name := range t.said() {
				switch {
				case strings.HasPrefix(name, "gateway."):
					saidByGateway = append(saidByGateway, name)
				case !strings.HasPrefix(name, "remediation."):
					saidByOthers = append(saidByOthers, name)
				}
			}
			texts = append(texts, differ("the Gateway", saidByGateway, gateway)...)
			return append(texts, differ("SignalProcessing", saidByOthers, eventsOf(Steps))...)
		},
	}
}

func differ(who string, said, wanted []string) []string {
	if slices.Equal(said, wanted) {
		return nil
	}
	return []string{fmt.Sprintf("%s said\n    %s\n  instead of\n    %s", who, strings.Join(said, "\n    "), strings.Join(wanted, "\n    "))}
}

// trailMatcher matches a Trail in which nothing is amiss.
type trailMatcher struct {
	what     string
	mismatch func(Trail) []string
}

// Match implements types.GomegaMatcher.
func (m trailMatcher) Match(actual any) (bool, error) {
	t, ok := actual.(Trail)
	if !ok {
		return false, fmt.Errorf("%T is no Trail", actual)
	}
	return len(m.mismatch(t)) == 0, nil
}

// FailureMessage implements types.GomegaMatcher.
func (m trailMatcher) FailureMessage(actual any) string {
	t, _ := actual.(Trail)
	return format.Message(actual, "to "+m.what) + "\nbut:\n  " + strings.Join(m.mismatch(t), "\n  ")
}

// NegatedFailureMessage implements types.GomegaMatcher.
func (m trailMatcher) NegatedFailureMessage(actual any) string {
	return format.Message(actual, "not to "+m.what)
}
