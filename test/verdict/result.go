package verdict

import (
	"errors"
	"fmt"
	"strings"
)

// maxFindings bounds the findings that a Result describes.
const maxFindings = 20

// Result counts what a scenario did and found.
type Result struct {
	// Disruptions is how often something was killed or restarted.
	Disruptions int
	// Accepted counts the observed effects, Lost the events that are missing for them.
	Accepted, Lost int
	// Doubled counts the surplus copies of events.
	Doubled int
	// Findings describe the first of the lost and doubled events, CorrelationIDs
	// are theirs, in the same order.
	Findings, CorrelationIDs []string

	extras []string
}

// AddFigure puts a further figure at the end of the scenario's line.
func (r *Result) AddFigure(key string, n int64) {
	r.extras = append(r.extras, fmt.Sprintf("%s %d", key, n))
}

// Line is the scenario's result for people and scripts, as in
// "torture gateway kills 20 accepted 3000 lost 0 doubled 0".
func (r *Result) Line(scenario, disruptions string) string {
	line := fmt.Sprintf("%s %s %d accepted %d lost %d doubled %d", scenario, disruptions, r.Disruptions, r.Accepted, r.Lost, r.Doubled)
	return strings.Join(append([]string{line}, r.extras...), " ")
}

// Err is nil if there was a disruption, something was accepted, and nothing was lost or doubled.
func (r *Result) Err() error {
	switch {
	case r.Disruptions == 0:
		return errors.New("nothing was killed or restarted")
	case r.Accepted == 0:
		return errors.New("nothing was accepted")
	case r.Lost > 0 || r.Doubled > 0:
		return fmt.Errorf("%d lost, %d doubled:\n%s", r.Lost, r.Doubled, strings.Join(r.Findings, "\n"))
	}
	return nil
}

// AddLost counts a missing event of a correlation id.
func (r *Result) AddLost(correlationID, what string) {
	r.Lost++
	r.add(correlationID, fmt.Sprintf("lost: %s of %s", what, correlationID))
}

// AddStored counts the surplus copies of an event that is stored so many times.
func (r *Result) AddStored(times int, correlationID, what string) {
	if times > 1 {
		r.Doubled += times - 1
		r.add(correlationID, fmt.Sprintf("%d times: %s of %s", times, what, correlationID))
	}
}

func (r *Result) add(correlationID, text string) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, text)
		r.CorrelationIDs = append(r.CorrelationIDs, correlationID)
	}
}
