package kill

import (
	"errors"
	"fmt"
	"strings"
)

// maxFindings bounds what a Tally names.
const maxFindings = 20

// Tally is what a scenario found out.
type Tally struct {
	// Kills is how many lives were killed.
	Kills int
	// Accepted is how much was seen from outside, Lost how much of it lacks an event.
	Accepted, Lost int
	// Doubled is how many events there are too many.
	Doubled int
	// Findings describe the first of the lost and doubled.
	Findings []string
}

// Line is the scenario's result for people and scripts.
func (t *Tally) Line(scenario string) string {
	return fmt.Sprintf("torture %s kills %d accepted %d lost %d doubled %d", scenario, t.Kills, t.Accepted, t.Lost, t.Doubled)
}

// Err is nil if something was accepted, nothing was lost and nothing is doubled.
func (t *Tally) Err() error {
	switch {
	case t.Kills == 0 || t.Accepted == 0:
		return errors.New("nothing was tried")
	case t.Lost > 0 || t.Doubled > 0:
		return fmt.Errorf("%d lost, %d doubled:\n%s", t.Lost, t.Doubled, strings.Join(t.Findings, "\n"))
	}
	return nil
}

func (t *Tally) lostf(format string, args ...any) {
	t.Lost++
	t.findf("lost: "+format, args...)
}

func (t *Tally) doubledf(times int, format string, args ...any) {
	if times > 1 {
		t.Doubled += times - 1
		t.findf(fmt.Sprintf("%d times: ", times)+format, args...)
	}
}

func (t *Tally) findf(format string, args ...any) {
	if len(t.Findings) < maxFindings {
		t.Findings = append(t.Findings, fmt.Sprintf(format, args...))
	}
}
