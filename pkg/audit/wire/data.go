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
	d, err := checkData(data, eventType, maxBytes)
	if err != nil {
		return nil, err
	}
	return appendCanonical(make([]byte, 0, d.size), &d), nil
}

// Data are the data of an event that MembersWithData has passed.
type Data struct {
	text []byte
	// checked: they keep the rules, all but those about the event's type and the size of the canonical form.
	checked bool
	// size of the canonical form in bytes.
	size int
	// escapes: a string has at least one.
	escapes bool
	// eventType is the value of their own member event_type, nil for none.
	eventType []byte
}

// Check returns nil if the data keep all rules, else the *RuleError of CanonicalData.
func (d *Data) Check(eventType string, maxBytes int) error {
	if !d.checked {
		_, err := checkData(d.text, eventType, maxBytes) // says what is wrong
		return err
	}
	return d.fits(eventType, maxBytes)
}

// CanonicalSize is the size in bytes of the canonical form of data that Check accepts.
func (d *Data) CanonicalSize() int { return d.size }

// AppendCanonical appends the canonical form, see CanonicalData, of data that Check accepts.
func (d *Data) AppendCanonical(out []byte) []byte { return appendCanonical(out, d) }

// fits checks what depends on the event and the limit.
func (d *Data) fits(eventType string, maxBytes int) error {
	switch {
	case d.eventType != nil && !isString(d.eventType, eventType):
		return &RuleError{Rule: ErrInnerType, Path: "$.event_type"}
	case d.size > maxBytes:
		return &RuleError{Rule: ErrCanonical, Limit: maxBytes}
	default:
		return nil
	}
}

func checkData(data []byte, eventType string, maxBytes int) (Data, error) {
	s := scan(data, maxDataDepth, true)
	defer s.release()
	d := Data{text: data}
	switch {
	case s.peek() != '{' || !s.dataObject(&d):
		if s.err == nil {
			return d, &RuleError{Rule: ErrSyntax}
		}
		return d, &RuleError{Rule: s.err, Path: pathAt(data, s.errAt)}
	case !s.end():
		return d, &RuleError{Rule: ErrSyntax}
	case s.high&highBits != 0 && !utf8.Valid(data):
		return d, &RuleError{Rule: ErrUTF8, Path: pathAt(data, invalidUTF8(data))}
	}
	d.size = len(data) + s.growth // with the white space around the object
	return d, d.fits(eventType, maxBytes)
}

// dataObject passes an object, checks it by the rules, and says in d what there is to know.
func (s *scanner) dataObject(d *Data) bool {
	s.wanted, s.found, s.escapes = "event_type", nil, false
	ok := s.object()
	s.wanted = ""
	d.checked, d.eventType, d.escapes = ok, s.found, s.escapes
	return ok
}

// eventData passes a member's value, which is checked by the rules if it is an object. It returns false only if the
// value is wrong by the syntax.
func (s *scanner) eventData(d *Data) bool {
	begin, depth, maxDepth, names := s.at, s.depth, s.maxDepth, len(s.names)
	if s.peek() == '{' {
		s.depth, s.maxDepth, s.rules, s.growth = 0, maxDataDepth, true, 0
		s.dataObject(d)
		s.depth, s.maxDepth, s.rules = depth, maxDepth, false
		d.size = s.at - begin + s.growth
	}
	if !d.checked {
		s.at, s.names, s.err = begin, s.names[:names], nil
		if !s.value() {
			return false
		}
	}
	d.text = s.data[begin:s.at]
	return true
}

// isString reports whether a checked value is the string that says want, which needs no escapes.
func isString(value []byte, want string) bool {
	if len(value) == len(want)+2 && value[0] == '"' && string(value[1:len(value)-1]) == want {
		return true
	}
	text, err := Text(value)
	return err == nil && text == want
}
