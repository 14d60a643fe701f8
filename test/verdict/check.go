package verdict

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

const signalDeduplicated = "gateway.signal.deduplicated"

// Observations are what an outside observer has seen, and what is stored afterwards.
type Observations struct {
	// Answers of the Gateway.
	Answers []alertmanager.Answered
	// Phases that the status of a SignalProcessing has shown, by the request's name.
	Phases map[string]map[v1alpha1.ProcessingPhase]bool
	// Processed requests show the result of their processing. They do not
	// count as accepted: their signals do.
	Processed []string
	// Trails by correlation id, at least one for each request that is named above.
	Trails map[string]testenv.Trail
}

// data holds the fields of event_data that identify a fact.
type data struct {
	RequestID   string                   `json:"request_id"`
	Fingerprint string                   `json:"fingerprint"`
	UID         string                   `json:"uid"`
	From        v1alpha1.ProcessingPhase `json:"from"`
	To          v1alpha1.ProcessingPhase `json:"to"`
	Attempt     int                      `json:"attempt"`
}

// fact is what an event states, whatever its id. A fact that is stored twice is doubled.
type fact struct {
	data

	eventType string
}

// countFacts counts the facts of a trail.
func countFacts(trail testenv.Trail) (map[fact]int, error) {
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

// String distinguishes the facts of one type.
func (f fact) String() string {
	switch {
	case f.RequestID != "":
		return f.eventType + " (delivery " + f.RequestID + ")"
	case f.To != "":
		return fmt.Sprintf("%s (from %s to %s)", f.eventType, f.From, f.To)
	}
	return f.eventType
}

// Check adds to the result what the observations prove to be lost or doubled.
func (r *Result) Check(o Observations) error {
	facts := make(map[string]map[fact]int, len(o.Trails))
	for id, trail := range o.Trails {
		counts, err := countFacts(trail)
		if err != nil {
			return fmt.Errorf("trail of %s: %w", id, err)
		}
		facts[id] = counts
		for f, times := range counts {
			r.AddStored(times, id, f.String())
		}
	}
	for _, a := range o.Answers {
		r.Accepted++
		if missing := missingOfAnswer(&a, facts[a.Request], o.Trails[a.Request]); missing != "" {
			r.AddLost(a.Request, fmt.Sprintf("%s (of the answer to delivery %s)", missing, a.Delivery))
		}
	}
	for id, phases := range o.Phases {
		for phase := range phases {
			r.Accepted++
			r.checkPhase(id, phase, facts[id])
		}
	}
	for _, id := range o.Processed {
		for _, step := range testenv.Steps {
			r.checkPhase(id, step.To, facts[id])
		}
	}
	return nil
}

// missingOfAnswer returns the type of an event that an answer implies and that
// is missing, or "".
func missingOfAnswer(a *alertmanager.Answered, counts map[fact]int, trail testenv.Trail) string {
	of := data{RequestID: a.Delivery, Fingerprint: a.Fingerprint}
	switch {
	case counts[fact{of, testenv.SignalReceived}] == 0:
		return testenv.SignalReceived
	case a.Duplicate && counts[fact{of, signalDeduplicated}] == 0:
		return signalDeduplicated
	case len(trail.Of(testenv.RequestCreated)) == 0:
		return testenv.RequestCreated
	}
	return ""
}

// checkPhase looks for the events of the step that led to a phase.
func (r *Result) checkPhase(id string, phase v1alpha1.ProcessingPhase, counts map[fact]int) {
	types := map[string]bool{}
	for f := range counts {
		types[f.eventType] = types[f.eventType] || f.eventType != testenv.PhaseTransition || f.To == phase
	}
	steps := testenv.StepsTo(phase)
	wanted := []string{testenv.PhaseTransition}
	if len(steps) > 0 {
		wanted = append(wanted, steps[len(steps)-1].Work...)
	}
	for _, eventType := range wanted {
		if !types[eventType] {
			r.AddLost(id, fmt.Sprintf("%s (whose status showed %s)", eventType, phase))
			return
		}
	}
}
