package kill

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
)

// The events that are looked for.
const (
	signalReceived     = "gateway.signal.received"
	signalDeduplicated = "gateway.signal.deduplicated"
	requestCreated     = "gateway.crd.created"
	phaseTransition    = "signalprocessing.phase.transition"
)

// workOf is the event of the work that is done before a phase shows.
var workOf = map[v1alpha1.ProcessingPhase][]string{
	v1alpha1.ProcessingClassifying:  {"signalprocessing.enrichment.completed"},
	v1alpha1.ProcessingCategorizing: {"signalprocessing.classification.decision"},
	v1alpha1.ProcessingCompleted:    {"signalprocessing.business.classified", "signalprocessing.signal.processed"},
}

// answer is what the Gateway has said of one signal.
type answer struct {
	// Delivery is the id of the request that brought the signal.
	Delivery string
	// Request is the name of the signal's RemediationRequest, the correlation id.
	Request     string
	Fingerprint string
	// Duplicate tells that the request was there already.
	Duplicate bool
}

// data is what the judgement needs of event_data.
type data struct {
	RequestID   string                   `json:"request_id"`
	Fingerprint string                   `json:"fingerprint"`
	UID         string                   `json:"uid"`
	From        v1alpha1.ProcessingPhase `json:"from"`
	To          v1alpha1.ProcessingPhase `json:"to"`
	Attempt     int                      `json:"attempt"`
}

// fact is what an event says, whatever its id is: the same fact twice is one too many.
type fact struct {
	data

	eventType string
}

// facts counts what a trail says.
func facts(trail testenv.Trail) (map[fact]int, error) {
	counts := map[fact]int{}
	for i := range trail {
		f := fact{eventType: trail[i].EventType}
		if err := json.Unmarshal(trail[i].EventData, &f.data); err != nil {
			return nil, fmt.Errorf("data of %s %s: %w", f.eventType, trail[i].EventId, err)
		}
		counts[f]++
	}
	return counts, nil
}

// judgeAnswers looks for the events of each answer in the trail of its
// request. There must be a trail for each request, and the trails of what was
// not answered do no harm.
func (t *Tally) judgeAnswers(answers []answer, trails map[string]testenv.Trail) error {
	known := make(map[string]map[fact]int, len(trails))
	for request, trail := range trails {
		counts, err := facts(trail)
		if err != nil {
			return fmt.Errorf("request %s: %w", request, err)
		}
		known[request] = counts
		for f, times := range counts {
			t.doubledf(times, "%s of %s, delivery %s", f.eventType, request, f.RequestID)
		}
	}
	for _, a := range answers {
		t.Accepted++
		if missing := a.missing(known[a.Request], trails[a.Request]); missing != "" {
			t.lostf("%s of %s, which answered delivery %s", missing, a.Request, a.Delivery)
		}
	}
	return nil
}

// missing is the type of an event that the answer should have; empty where it has all.
func (a *answer) missing(counts map[fact]int, trail testenv.Trail) string {
	of := data{RequestID: a.Delivery, Fingerprint: a.Fingerprint}
	switch {
	case counts[fact{of, signalReceived}] == 0:
		return signalReceived
	case a.Duplicate && counts[fact{of, signalDeduplicated}] == 0:
		return signalDeduplicated
	case len(trail.Of(requestCreated)) == 0:
		return requestCreated
	}
	return ""
}

// judgeStatuses looks for the events of each phase that was seen.
func (t *Tally) judgeStatuses(seen map[string]map[v1alpha1.ProcessingPhase]bool, trails map[string]testenv.Trail) error {
	for request, phases := range seen {
		trail := trails[request]
		counts, err := facts(trail)
		if err != nil {
			return fmt.Errorf("request %s: %w", request, err)
		}
		for f, times := range counts {
			t.doubledf(times, "%s of %s, from %s to %s", f.eventType, request, f.From, f.To)
		}
		for phase := range phases {
			t.Accepted++
			if missing := missingOf(phase, counts); missing != "" {
				t.lostf("%s of %s, whose status showed %s", missing, request, phase)
			}
		}
	}
	return nil
}

// missingOf is the type of an event that a phase in a status should have;
// empty where it has all.
func missingOf(phase v1alpha1.ProcessingPhase, counts map[fact]int) string {
	types := map[string]bool{}
	for f := range counts {
		types[f.eventType] = types[f.eventType] || f.eventType != phaseTransition || f.To == phase
	}
	for _, wanted := range append([]string{phaseTransition}, workOf[phase]...) {
		if !types[wanted] {
			return wanted
		}
	}
	return ""
}
