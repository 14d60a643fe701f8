package trailtest

import (
	"errors"
	"fmt"

	"github.com/onsi/gomega/types"
)

// HaveAudited matches a list of events that has one of the type which all of
// the fields match. Use it on the result of one query, after a flush.
func HaveAudited(eventType string, fields ...types.GomegaMatcher) types.GomegaMatcher {
	wanted := &eventMatcher{eventType, fields}
	return &trailMatcher{judge: func(events []entry) (bool, string, error) {
		f, err := find(events, 0, wanted)
		if len(f.matching) > 0 {
			return true, fmt.Sprintf("%v: %s", wanted, numbers(f.matching)), nil
		}
		return false, fmt.Sprintf("no event %v%s", wanted, f.nearest()), err
	}}
}

// HaveAuditedTimes matches a list that has exactly n events of the type which
// all of the fields match.
func HaveAuditedTimes(n int, eventType string, fields ...types.GomegaMatcher) types.GomegaMatcher {
	wanted := &eventMatcher{eventType, fields}
	return &trailMatcher{judge: func(events []entry) (bool, string, error) {
		f, err := find(events, 0, wanted)
		found := len(f.matching)
		message := fmt.Sprintf("%d times %v", found, wanted)
		if found > 0 {
			message += ": " + numbers(f.matching)
		}
		if found == n {
			return true, message, err
		}
		message = fmt.Sprintf("want %d, found %s", n, message)
		if found < n {
			message += f.nearest()
		}
		return false, message, err
	}}
}

// HaveAuditedInOrder matches a list that has these events in this order;
// others may stand between them. Each of wanted is an event type, or a
// [BeEvent] with fields that tell events of one type apart. What is named twice
// has to be there twice.
func HaveAuditedInOrder(wanted ...any) types.GomegaMatcher {
	steps := make([]*eventMatcher, len(wanted))
	var mistake error
	if len(wanted) == 0 {
		mistake = errors.New("HaveAuditedInOrder needs at least one event type")
	}
	for i, w := range wanted {
		switch w := w.(type) {
		case string:
			steps[i] = &eventMatcher{eventType: w}
		case *eventMatcher:
			steps[i] = w
		default:
			mistake = fmt.Errorf("HaveAuditedInOrder takes event types and BeEvent(...), got %T", w)
		}
	}
	return &trailMatcher{judge: func(events []entry) (bool, string, error) {
		if mistake != nil {
			return false, "", mistake
		}
		return inOrder(events, steps)
	}}
}

// inOrder takes the earliest event for each step: if the steps can be found in
// this order at all, this finds them.
func inOrder(events []entry, steps []*eventMatcher) (bool, string, error) {
	var matching []int
	for _, step := range steps {
		from := 0
		if len(matching) > 0 {
			from = matching[len(matching)-1] + 1
		}
		f, err := find(events, from, step)
		if len(f.matching) == 0 {
			return false, outOfOrder(events, step, matching, &f), err
		}
		matching = append(matching, f.matching[0])
	}
	return true, "in this order: " + numbers(matching), nil
}

// outOfOrder describes the step that is missing after those that match.
func outOfOrder(events []entry, missing *eventMatcher, matching []int, f *found) string {
	if len(matching) == 0 {
		return fmt.Sprintf("no event %v, which is to be the first%s", missing, f.nearest())
	}
	last := matching[len(matching)-1]
	message := fmt.Sprintf("no event %v after %s, %s", missing, numbers([]int{last}), events[last].Type)
	if early, err := find(events[:last], 0, missing); err == nil && len(early.matching) > 0 {
		message += "; it is there earlier: " + numbers(early.matching)
	}
	return message + f.nearest()
}

// trailMatcher matches a list of events.
type trailMatcher struct {
	// judge says whether the events match, and what is or is not there.
	judge   func([]entry) (bool, string, error)
	message string
}

// Match takes a []audit.Event or a []datastorage.StoredEvent.
func (m *trailMatcher) Match(actual any) (bool, error) {
	events, err := entriesOf(actual)
	if err != nil {
		return false, err
	}
	ok, message, err := m.judge(events)
	m.message = message + "\n" + trailText(events)
	return ok, err
}

// FailureMessage says what is missing, and lists the trail.
func (m *trailMatcher) FailureMessage(any) string { return m.message }

// NegatedFailureMessage says what is there, and lists the trail.
func (m *trailMatcher) NegatedFailureMessage(any) string { return "not wanted: " + m.message }

// found is how the events of a type compare with the wanted fields.
type found struct {
	// matching are the indexes of those that match.
	matching []int
	// near is the index of the one that differs least, -1 if there is none, and
	// differences is how.
	near        int
	differences []string
}

// find compares the events from an index on. A matcher that cannot judge an
// event is an error if no other event matches.
func find(events []entry, from int, wanted *eventMatcher) (found, error) {
	f := found{near: -1}
	var failed error
	for i := from; i < len(events); i++ {
		if events[i].Type != wanted.eventType {
			continue
		}
		differences, err := wanted.differences(&events[i])
		switch {
		case err != nil:
			failed = fmt.Errorf("event %d: %w", i+1, err)
		case len(differences) == 0:
			f.matching = append(f.matching, i)
		case f.near < 0 || len(differences) < len(f.differences):
			f.near, f.differences = i, differences
		}
	}
	if len(f.matching) > 0 {
		failed = nil
	}
	return f, failed
}

// nearest describes the nearest miss, if there is one.
func (f *found) nearest() string {
	if f.near < 0 {
		return ""
	}
	return fmt.Sprintf("\n%s comes nearest:%s", numbers([]int{f.near}), indented(f.differences))
}
