package verdict

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

const signalDeduplicated = "gateway.signal.deduplicated"

// Seen is what was seen from outside, and what is stored afterwards.
type Seen struct {
	// Answers of the Gateway.
	Answers []alertmanager.Answered
	// Phases that the statuses of a request's processing have shown.
	Phases map[string]map[v1alpha1.ProcessingPhase]bool
	// Processed requests show the outcome of their processing. They do not
	// count as accepted: their signals do.
	Processed []string
	// Trails by correlation id: one for each that is named above. Others do no harm.
	Trails map[string]testenv.Trail
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

// String tells facts of one type apart.
func (f fact) String() string {
	switch {
	case f.RequestID != "":
		return f.eventType + " (delivery " + f.RequestID + ")"
	case f.To != "":
		return fmt.Sprintf("%s (from %s to %s)", f.eventType, f.From, f.To)
	}
	return f.eventType
}

// Judge looks for the events of all that was seen, and for events that are
// there twice.
func (t *Tally) Judge(seen Seen) error {
	known := make(map[string]map[fact]int, len(seen.Trails))
	for id, trail := range seen.Trails {
		counts, err := facts(trail)
		if err != nil {
			return fmt.Errorf("trail of %s: %w", id, err)
		}
		known[id] = counts
		for f, times := range counts {
			t.Count(times, id, f.String())
		}
	}
	for _, a := range seen.Answers {
		t.Accepted++
		if missing := missingOfAnswer(&a, known[a.Request], seen.Trails[a.Request]); missing != "" {
			t.Lose(a.Request, fmt.Sprintf("%s (which answered delivery %s)", missing, a.Delivery))
		}
	}
	for id, phases := range seen.Phases {
		for phase := range phases {
			t.Accepted++
			t.judgePhase(id, phase, known[id])
		}
	}
	for _, id := range seen.Processed {
		for _, step := range testenv.Steps {
			t.judgePhase(id, step.To, known[id])
		}
	}
	return nil
}

// missingOfAnswer is the type of an event that an answer should have; empty
// where it has all.
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

// judgePhase looks for the events of the step that led to a phase.
func (t *Tally) judgePhase(id string, phase v1alpha1.ProcessingPhase, counts map[fact]int) {
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
			t.Lose(id, fmt.Sprintf("%s (whose status showed %s)", eventType, phase))
			return
		}
	}
}
