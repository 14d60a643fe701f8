package verdict

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

const (
	signalDeduplicated = "gateway.signal.deduplicated"
	signalResolved     = "gateway.signal.resolved"
)

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
	Delivery    string                   `json:"delivery"`
	Fingerprint string                   `json:"fingerprint"`
	Instance    string                   `json:"instance"`
	UID         string                   `json:"uid"`
	From        v1alpha1.ProcessingPhase `json:"from"`
	To          v1alpha1.ProcessingPhase `json:"to"`
	Attempt     int                      `json:"attempt"`
	Labels      labels                   `json:"labels"`
	// Count is set where several duplicates were recorded together.
	Count int64 `json:"count"`
}

// labels are those that tell the instances of an alert apart.
type labels struct {
	Container string `json:"container"`
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
		if f.Count > 0 {
			continue // which duplicates these are is not known
		}
		counts[f]++
	}
	return counts, nil
}

// String distinguishes the facts of one type.
func (f fact) String() string {
	switch {
	case f.Delivery != "":
		return f.eventType + " (" + f.Delivery + ")"
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
		if missing := missingOfAnswer(&a, facts[a.Request]); missing != "" {
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
// is missing, or "". A duplicate of an alert implies none of its own: its count
// may be lost with the process. A change of state does.
func missingOfAnswer(a *alertmanager.Answered, counts map[fact]int) string {
	wanted := []string{testenv.SignalReceived, testenv.RequestCreated}
	change := signalDeduplicated
	if a.Resolved {
		change = signalResolved
	}
	recorded := map[string]bool{}
	changed := false
	for f := range counts {
		recorded[f.eventType] = true
		changed = changed || f.eventType == change && f.Labels.Container == a.Container
	}
	for _, eventType := range wanted {
		if !recorded[eventType] {
			return eventType
		}
	}
	if a.Container != "" && !changed {
		return change
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
