package audittest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onsi/gomega/format"
	gomegatypes "github.com/onsi/gomega/types"

	"kubernaut.ai/pkg/audit"
)

// HaveAudited succeeds if the actual []audit.Event has an event of the type
// with all of the fields. Its message shows what differs in the event that
// comes nearest, and the trail. Use it on the answer to one query, after a flush.
func HaveAudited(eventType string, fields ...Field) gomegatypes.GomegaMatcher {
	return &trailMatcher{judge: func(events []audit.Event) (bool, string, error) {
		f, err := find(events, eventType, fields)
		if len(f.matching) > 0 {
			return true, fmt.Sprintf("%s%s: %s", eventType, withFields(fields), numbers(f.matching)), nil
		}
		return false, fmt.Sprintf("no event %s%s%s", eventType, withFields(fields), f.nearest()), err
	}}
}

// HaveAuditedTimes succeeds if the actual []audit.Event has n events of the
// type with all of the fields, no more and no less.
func HaveAuditedTimes(n int, eventType string, fields ...Field) gomegatypes.GomegaMatcher {
	return &trailMatcher{judge: func(events []audit.Event) (bool, string, error) {
		f, err := find(events, eventType, fields)
		found := len(f.matching)
		message := fmt.Sprintf("%d times %s%s", found, eventType, withFields(fields))
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

// HaveAuditedInOrder succeeds if the actual []audit.Event has an event of each
// of the types, in this order; others may stand between them. A type that is
// named twice has to be there twice.
func HaveAuditedInOrder(eventTypes ...string) gomegatypes.GomegaMatcher {
	return &trailMatcher{judge: func(events []audit.Event) (bool, string, error) {
		if len(eventTypes) == 0 {
			return false, "", errors.New("no event type is named")
		}
		var matching []int
		for i := range events {
			if events[i].Type == eventTypes[len(matching)] {
				if matching = append(matching, i); len(matching) == len(eventTypes) {
					return true, "types in this order: " + numbers(matching), nil
				}
			}
		}
		return false, outOfOrder(events, eventTypes, matching), nil
	}}
}

// outOfOrder says which type is missing behind those that match.
func outOfOrder(events []audit.Event, eventTypes []string, matching []int) string {
	missing := eventTypes[len(matching)]
	if len(matching) == 0 {
		return fmt.Sprintf("no event %s, which is to be the first", missing)
	}
	last := matching[len(matching)-1]
	var early []int
	for i := range events[:last] {
		if events[i].Type == missing {
			early = append(early, i)
		}
	}
	message := fmt.Sprintf("no event %s after %s, %s", missing, numbers([]int{last}), events[last].Type)
	if len(early) > 0 {
		message += "; it is there earlier: " + numbers(early)
	}
	return message
}

// trailMatcher matches a list of events.
type trailMatcher struct {
	// judge says whether the events match, and what is or is not there.
	judge   func([]audit.Event) (bool, string, error)
	message string
}

// Match takes a []audit.Event.
func (m *trailMatcher) Match(actual any) (bool, error) {
	events, ok := actual.([]audit.Event)
	if !ok {
		return false, fmt.Errorf("want a []audit.Event, got\n%s", format.Object(actual, 1))
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

// find compares the events of a type. A matcher that cannot judge an event is
// an error if no other event matches.
func find(events []audit.Event, eventType string, fields []Field) (found, error) {
	f := found{near: -1}
	var failed error
	for i := range events {
		if events[i].Type != eventType {
			continue
		}
		differences, err := compare(&events[i], fields)
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

// compare describes the fields that do not match.
func compare(e *audit.Event, fields []Field) (differences []string, err error) {
	for _, f := range fields {
		value := f.value(e)
		ok, err := f.matcher.Match(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if !ok {
			differences = append(differences, f.name+": "+strings.TrimSpace(f.matcher.FailureMessage(value)))
		}
	}
	return differences, nil
}

// nearest describes the nearest miss, if there is one.
func (f *found) nearest() string {
	if f.near < 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s comes nearest:", numbers([]int{f.near}))
	for _, difference := range f.differences {
		b.WriteString("\n" + format.IndentString(difference, 1))
	}
	return b.String()
}
