package audittest

import (
	"encoding/json"
	"strings"

	"github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"

	"kubernaut.ai/pkg/audit"
)

// Field is what HaveAudited and HaveAuditedTimes want of an event beside its type.
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
