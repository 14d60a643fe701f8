package audittest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
	"github.com/onsi/gomega/gcustom"
	gomegatypes "github.com/onsi/gomega/types"

	"kubernaut.ai/pkg/audit"
)

// Field is what HaveAudited wants of an event beside its type.
type Field struct {
	name    string
	matcher gomegatypes.GomegaMatcher
	value   func(*audit.Event) any
}

// WithCorrelationID wants a correlation id: a string or a matcher.
func WithCorrelationID(want any) Field {
	return field("correlation id", want, func(e *audit.Event) any { return e.CorrelationID })
}

// WithOutcome wants an outcome: an audit.Outcome or a matcher.
func WithOutcome(want any) Field {
	return field("outcome", want, func(e *audit.Event) any { return e.Outcome })
}

// WithCategory wants a category: a string or a matcher.
func WithCategory(want any) Field {
	return field("category", want, func(e *audit.Event) any { return e.Category })
}

// WithAction wants an action: a string or a matcher.
func WithAction(want any) Field {
	return field("action", want, func(e *audit.Event) any { return e.Action })
}

// WithSeverity wants a severity: a string or a matcher.
func WithSeverity(want any) Field {
	return field("severity", want, func(e *audit.Event) any { return e.Severity })
}

// WithData wants a value in the event's data: path has the names of nested
// fields with dots between them. The value is as encoding/json decodes it (a
// number is a float64), nil where it is missing; want is such a value or a matcher.
func WithData(path string, want any) Field {
	return field("data "+path, want, func(e *audit.Event) any {
		var value any
		if err := json.Unmarshal(e.Data, &value); err != nil {
			return nil
		}
		for name := range strings.SplitSeq(path, ".") {
			object, ok := value.(map[string]any)
			if !ok {
				return nil
			}
			value = object[name]
		}
		return value
	})
}

// With wants anything of an event: value picks it, want is a value or a matcher.
func With(name string, value func(*audit.Event) any, want any) Field {
	return field(name, want, value)
}

func field(name string, want any, value func(*audit.Event) any) Field {
	matcher, ok := want.(gomegatypes.GomegaMatcher)
	if !ok {
		matcher = gomega.BeEquivalentTo(want)
		if want == nil {
			matcher = gomega.BeNil()
		}
	}
	return Field{name: name, matcher: matcher, value: value}
}

// HaveAudited succeeds if the actual []audit.Event has an event of the type
// with all of the fields. Its message shows the events that are there, and for
// those of the type what differs. Use it on the answer to one query, after a flush.
func HaveAudited(eventType string, fields ...Field) gomegatypes.GomegaMatcher {
	var failure string
	return gcustom.MakeMatcher(func(events []audit.Event) (bool, error) {
		var found strings.Builder
		for i := range events {
			e := &events[i]
			fmt.Fprintf(&found, "\n%s%s %s", format.Indent, e.Type, e.ID)
			if e.Type != eventType {
				continue
			}
			differs, err := differences(e, fields)
			if err != nil {
				return false, err
			}
			if differs == "" {
				failure = fmt.Sprintf("an event %s with these fields, %s, is there", eventType, e.ID)
				return true, nil
			}
			found.WriteString(differs)
		}
		failure = fmt.Sprintf("no event %s with these fields among %d events%s", eventType, len(events), found.String())
		return false, nil
	}).WithTemplate("{{.Data}}", failureText{&failure})
}

// failureText is read when the message is made, after the match.
type failureText struct{ text *string }

func (f failureText) String() string { return *f.text }

// differences describes the fields that do not match, empty if all do.
func differences(e *audit.Event, fields []Field) (string, error) {
	var b strings.Builder
	for _, f := range fields {
		value := f.value(e)
		ok, err := f.matcher.Match(value)
		if err != nil {
			return "", fmt.Errorf("%s of event %s: %w", f.name, e.ID, err)
		}
		if !ok {
			fmt.Fprintf(&b, "\n%s%s: %s", strings.Repeat(format.Indent, 2), f.name,
				format.IndentString(strings.TrimSpace(f.matcher.FailureMessage(value)), 2))
		}
	}
	return b.String(), nil
}
