package verdict

import (
	"errors"
	"fmt"
	"strings"
)

// maxFindings bounds what a Tally names.
const maxFindings = 20

// Tally is what a scenario found out.
type Tally struct {
	// Deeds is how often something was killed or restarted.
	Deeds int
	// Accepted is how much was seen from outside, Lost how many of its events
	// are not there.
	Accepted, Lost int
	// Doubled is how many events there are too many.
	Doubled int
	// Findings describe the first of the lost and doubled, Suspects are their
	// correlation ids.
	Findings, Suspects []string
}

// Line is the scenario's result for people and scripts, as in
// "torture gateway kills 20 accepted 3000 lost 0 doubled 0".
func (t *Tally) Line(scenario, deeds string) string {
	return fmt.Sprintf("%s %s %d accepted %d lost %d doubled %d", scenario, deeds, t.Deeds, t.Accepted, t.Lost, t.Doubled)
}

// Err is nil if something was accepted, nothing was lost and nothing is doubled.
func (t *Tally) Err() error {
	switch {
	case t.Deeds == 0 || t.Accepted == 0:
		return errors.New("nothing was tried")
	case t.Lost > 0 || t.Doubled > 0:
		return fmt.Errorf("%d lost, %d doubled:\n%s", t.Lost, t.Doubled, strings.Join(t.Findings, "\n"))
	}
	return nil
}

// Lose counts an event of a correlation id that is not there.
func (t *Tally) Lose(id, what string) {
	t.Lost++
	t.find(id, fmt.Sprintf("lost: %s of %s", what, id))
}

// Count counts how often an event of a correlation id is there.
func (t *Tally) Count(times int, id, what string) {
	if times > 1 {
		t.Doubled += times - 1
		t.find(id, fmt.Sprintf("%d times: %s of %s", times, what, id))
	}
}

func (t *Tally) find(id, text string) {
	if len(t.Findings) < maxFindings {
		t.Findings = append(t.Findings, text)
		t.Suspects = append(t.Suspects, id)
	}
}
