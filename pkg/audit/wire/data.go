package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxDepth bounds nested objects and arrays in an event.
	MaxDepth = 64
	// MaxDataBytes is the default size of the largest event data, in bytes, both as sent and in the canonical form.
	MaxDataBytes = 1 << 20
)

// maxDataDepth is MaxDepth without the event itself.
const maxDataDepth = MaxDepth - 1

// The rules for event data, and for JSON texts in general, worded to follow the name of a field.
var (
	ErrSyntax    = errors.New("must be a JSON object")
	ErrUTF8      = errors.New("must be valid UTF-8")
	ErrNUL       = errors.New("must not contain a NUL character")
	ErrSurrogate = errors.New("must not contain an unpaired surrogate escape (\\ud800 to \\udfff)")
	ErrTwice     = errors.New("must not give a name twice in one object")
	ErrNumber    = errors.New("must not contain a number of more than 400 digits or out of the range of a double")
	ErrDepth     = errors.New("must not nest objects and arrays more than 63 deep")
	ErrSize      = errors.New("must not be larger than its limit")
	ErrCanonical = errors.New("must not be larger than its limit in canonical form")
	ErrInnerType = errors.New("must not contain an event_type that contradicts the event's own")
)

// RuleError says which rule a text breaks, and where.
type RuleError struct {
	// Rule is one of the errors above.
	Rule error
	// Path of names and positions, for instance $.target.labels[3]; empty if the text as a whole breaks the rule.
	Path string
	// Limit in bytes, for ErrSize and ErrCanonical.
	Limit int
}

// Error gives the rule and the place.
func (e *RuleError) Error() string {
	switch {
	case errors.Is(e.Rule, ErrSize):
		return fmt.Sprintf("must not be larger than %d bytes", e.Limit)
	case errors.Is(e.Rule, ErrCanonical):
		return fmt.Sprintf("must not be larger than %d bytes in canonical form, where a line feed takes 6", e.Limit)
	case e.Path == "":
		return e.Rule.Error()
	default:
		return e.Rule.Error() + " (at " + e.Path + ")"
	}
}

// Unwrap makes errors.Is find the rule.
func (e *RuleError) Unwrap() error { return e.Rule }

// CheckData returns nil if data may be the data of an event of a type, else a *RuleError: it is one JSON object in
// UTF-8 without NUL and unpaired surrogates, in which no object has a name twice (RFC 7493) and numbers fit the range
// of a double, at most maxDataDepth deep and MaxDataBytes large. It makes one pass, and no garbage for data of the
// usual size.
func CheckData(data []byte, eventType string) error {
	if len(data) > MaxDataBytes {
		return &RuleError{Rule: ErrSize, Limit: MaxDataBytes}
	}
	_, err := checkData(data, eventType, MaxDataBytes)
	return err
}

// CanonicalData checks data as CheckData does, except for its size, and returns its canonical form: members in the byte
// order of their names, no white space, as few escapes as JSON allows, numbers as plain decimals. Two texts have the
// same canonical form if and only if they mean the same. It has at most maxBytes.
func CanonicalData(data []byte, eventType string, maxBytes int) ([]byte, error) {
	size, err := checkData(data, eventType, maxBytes)
	if err != nil {
		return nil, err
	}
	return canonical(data, size), nil
}

// checkData returns the size of the canonical form.
func checkData(data []byte, eventType string, maxBytes int) (size int, err error) {
	s := scan(data, maxDataDepth, true)
	defer s.release()
	s.wanted = "event_type"
	switch {
	case s.peek() != '{' || !s.object():
		if s.err == nil {
			return 0, &RuleError{Rule: ErrSyntax}
		}
		return 0, &RuleError{Rule: s.err, Path: pathAt(data, s.errAt)}
	case !s.end():
		return 0, &RuleError{Rule: ErrSyntax}
	case s.high&highBits != 0 && !utf8.Valid(data):
		return 0, &RuleError{Rule: ErrUTF8, Path: pathAt(data, invalidUTF8(data))}
	case s.found != nil && !isString(s.found, eventType):
		return 0, &RuleError{Rule: ErrInnerType, Path: "$.event_type"}
	case len(data)+s.growth > maxBytes:
		return 0, &RuleError{Rule: ErrCanonical, Limit: maxBytes}
	default:
		return len(data) + s.growth, nil
	}
}

// isString reports whether a checked value is the string that says want, which needs no escapes.
func isString(value []byte, want string) bool {
	if len(value) == len(want)+2 && value[0] == '"' && string(value[1:len(value)-1]) == want {
		return true
	}
	text, err := Text(value)
	return err == nil && text == want
}
