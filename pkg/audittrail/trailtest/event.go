package trailtest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
	"github.com/onsi/gomega/types"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
)

// WithCorrelationID matches an event by its correlation id: a string or a matcher.
func WithCorrelationID(want any) types.GomegaMatcher {
	return With("correlation id", func(e *audit.Event) any { return e.CorrelationID }, want)
}

// WithOutcome matches an event by its outcome: an audit.Outcome, a string or a matcher.
func WithOutcome(want any) types.GomegaMatcher {
	return With("outcome", func(e *audit.Event) any { return e.Outcome }, want)
}

// WithCategory matches an event by its category: a string or a matcher.
func WithCategory(want any) types.GomegaMatcher {
	return With("category", func(e *audit.Event) any { return e.Category }, want)
}

// WithAction matches an event by its action: a string or a matcher.
func WithAction(want any) types.GomegaMatcher {
	return With("action", func(e *audit.Event) any { return e.Action }, want)
}

// WithSeverity matches an event by its severity: a string or a matcher.
func WithSeverity(want any) types.GomegaMatcher {
	return With("severity", func(e *audit.Event) any { return e.Severity }, want)
}

// WithActorID matches an event by its actor's id: a string or a matcher.
func WithActorID(want any) types.GomegaMatcher {
	return With("actor id", func(e *audit.Event) any { return e.ActorID }, want)
}

// WithErrorCode matches an event by its error code: a string or a matcher.
func WithErrorCode(want any) types.GomegaMatcher {
	return With("error code", func(e *audit.Event) any { return e.ErrorCode }, want)
}

// WithData matches a value inside an event's data. path names nested fields
// with dots between them, as in "severity.value". The value is as encoding/json
// decodes it (a number is a float64), and nil if it is missing; want is a value or a matcher.
func WithData(path string, want any) types.GomegaMatcher {
	return &fieldMatcher{name: "data " + path, want: matcherOf(jsonNumber(want)), value: func(e *audit.Event) (any, error) {
		return audittrail.DataValue(e.Data, path)
	}}
}

// With matches anything else of an event: value reads it, want is a value or a
// matcher. name stands in failure messages.
func With(name string, value func(*audit.Event) any, want any) types.GomegaMatcher {
	return &fieldMatcher{name: name, want: matcherOf(want), value: func(e *audit.Event) (any, error) { return value(e), nil }}
}

// BeEvent matches one event of the type that all of the fields match.
func BeEvent(eventType string, fields ...types.GomegaMatcher) types.GomegaMatcher {
	return &eventMatcher{eventType: eventType, fields: fields}
}

// jsonNumber makes a number comparable with one that encoding/json decoded:
// 2 equals 2.0 and not 2.5.
func jsonNumber(want any) any {
	float := reflect.TypeFor[float64]()
	if v := reflect.ValueOf(want); v.IsValid() && v.CanConvert(float) {
		return v.Convert(float).Interface()
	}
	return want
}

func matcherOf(want any) types.GomegaMatcher {
	if matcher, ok := want.(types.GomegaMatcher); ok {
		return matcher
	}
	if want == nil {
		return gomega.BeNil()
	}
	return gomega.BeEquivalentTo(want)
}

// entry is one event of a trail.
type entry struct {
	audit.Event

	// actual is what the caller has: an audit.Event or a datastorage.StoredEvent.
	actual any
}

var (
	recordedType = reflect.TypeFor[audit.Event]()
	storedType   = reflect.TypeFor[datastorage.StoredEvent]()
)

func entryOf(actual any) (entry, error) {
	switch e := actual.(type) {
	case audit.Event:
		return entry{Event: e, actual: e}, nil
	case *audit.Event:
		if e != nil {
			return entry{Event: *e, actual: *e}, nil
		}
	case datastorage.StoredEvent:
		return entry{Event: audittrail.ToEvent(&e), actual: e}, nil
	case *datastorage.StoredEvent:
		if e != nil {
			return entry{Event: audittrail.ToEvent(e), actual: *e}, nil
		}
	}
	return entry{}, fmt.Errorf("want an audit.Event or a datastorage.StoredEvent, got\n%s", format.Object(actual, 1))
}

// entriesOf takes a slice of events, whatever the slice type's name is.
func entriesOf(actual any) ([]entry, error) {
	list := reflect.ValueOf(actual)
	if list.Kind() != reflect.Slice || list.Type().Elem() != recordedType && list.Type().Elem() != storedType {
		return nil, fmt.Errorf("want a []audit.Event or a []datastorage.StoredEvent, got\n%s", format.Object(actual, 1))
	}
	entries := make([]entry, list.Len())
	for i := range entries {
		var err error
		if entries[i], err = entryOf(list.Index(i).Interface()); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
	}
	return entries, nil
}

// fieldMatcher matches a value that it reads from one event.
type fieldMatcher struct {
	name  string
	value func(*audit.Event) (any, error)
	want  types.GomegaMatcher
}

// Match takes an audit.Event or a datastorage.StoredEvent.
func (m *fieldMatcher) Match(actual any) (bool, error) {
	value, err := m.read(actual)
	if err != nil {
		return false, err
	}
	ok, err := m.want.Match(value)
	if err != nil {
		return false, fmt.Errorf("%s: %w", m.name, err)
	}
	return ok, nil
}

// FailureMessage names the value and says how it differs.
func (m *fieldMatcher) FailureMessage(actual any) string {
	value, err := m.read(actual)
	if err != nil {
		return err.Error()
	}
	return m.name + ": " + strings.TrimSpace(m.want.FailureMessage(value))
}

// NegatedFailureMessage names the value.
func (m *fieldMatcher) NegatedFailureMessage(actual any) string {
	value, err := m.read(actual)
	if err != nil {
		return err.Error()
	}
	return m.name + ": " + strings.TrimSpace(m.want.NegatedFailureMessage(value))
}

// read returns the value in an event.
func (m *fieldMatcher) read(actual any) (any, error) {
	e, err := entryOf(actual)
	if err != nil {
		return nil, err
	}
	value, err := m.value(&e.Event)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return value, nil
}

// eventMatcher matches one event by its type and fields.
type eventMatcher struct {
	eventType string
	fields    []types.GomegaMatcher
}

// String names what the matcher wants.
func (m *eventMatcher) String() string {
	if len(m.fields) == 0 {
		return m.eventType
	}
	return m.eventType + " with these fields"
}

// Match takes an audit.Event or a datastorage.StoredEvent.
func (m *eventMatcher) Match(actual any) (bool, error) {
	e, err := entryOf(actual)
	if err != nil || e.Type != m.eventType {
		return false, err
	}
	differences, err := m.differences(&e)
	return len(differences) == 0 && err == nil, err
}

// FailureMessage shows the event and says how it differs.
func (m *eventMatcher) FailureMessage(actual any) string {
	e, err := entryOf(actual)
	if err != nil {
		return err.Error()
	}
	var differences []string
	if e.Type == m.eventType {
		if differences, err = m.differences(&e); err != nil {
			return err.Error()
		}
	}
	return fmt.Sprintf("want event %v%s\n%s", m, indented(differences), trailText([]entry{e}))
}

// NegatedFailureMessage shows the event.
func (m *eventMatcher) NegatedFailureMessage(actual any) string {
	e, err := entryOf(actual)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("not wanted: %v\n%s", m, trailText([]entry{e}))
}

// differences describes the fields of an event of the type that do not match.
func (m *eventMatcher) differences(e *entry) ([]string, error) {
	var texts []string
	for _, field := range m.fields {
		ok, err := field.Match(e.actual)
		if err != nil {
			return nil, err //nolint:wrapcheck // the matchers name their field
		}
		if !ok {
			texts = append(texts, strings.TrimSpace(field.FailureMessage(e.actual)))
		}
	}
	return texts, nil
}
