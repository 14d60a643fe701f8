package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxArrayDepth bounds the nesting of an array's elements, as encoding/json does, to bound the stack.
const maxArrayDepth = 10_000

var (
	// ErrNotString means that a value is not a string.
	ErrNotString = errors.New("must be a string")
	// ErrNotArray means that a text is JSON, but not an array.
	ErrNotArray = errors.New("must be a JSON array")
)

// SyntaxError says where a text stops being JSON, counted from 1.
type SyntaxError struct {
	Line, Column int
	Reason       string
}

// Error gives the position and the reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Members calls yield for each member of a JSON object, in the order of the text. The name is valid during the call,
// and both are parts of the text where possible. The values are syntactically correct and nest at most MaxDepth deep,
// the object included; nothing else is known of them.
//
// The error is a *SyntaxError for a text that is not JSON in UTF-8, or too deep; a *RuleError for a text that is not
// an object or has a name twice or one with a NUL or an unpaired surrogate; or else yield's, after which it stops.
// Members that precede the error were yielded.
func Members(text []byte, yield func(name, value []byte) error) error {
	return MembersWithData(text, "", &Data{}, yield)
}

// MembersWithData is Members for an event, whose data are the member of this name: it also checks them in
// the same pass. What is wrong with them is an error of d.Check, not of this one.
func MembersWithData(text []byte, dataName string, d *Data, yield func(name, value []byte) error) error {
	*d = Data{}
	s := scan(text, MaxDepth, false)
	defer s.release()
	if s.peek() != '{' {
		return s.notA(ErrSyntax)
	}
	s.at++
	s.depth++
	seen := uint64(0)
	for c := s.peek(); c != '}'; c = s.peek() {
		name, rule, ok := s.topName(&seen)
		switch {
		case rule != nil:
			return &RuleError{Rule: rule, Path: pathAt(text, s.errAt)}
		case !ok || s.peek() != ':':
			return s.syntaxError()
		}
		s.at++
		s.peek()
		begin := s.at
		if dataName != "" && string(name) == dataName {
			ok = s.eventData(d)
		} else {
			ok = s.value()
		}
		if !ok {
			return s.syntaxError()
		}
		if err := yield(name, text[begin:s.at]); err != nil {
			return err
		}
		if s.peek() != ',' {
			break
		}
		s.at++
		if s.peek() != '"' {
			return s.syntaxError()
		}
	}
	if s.peek() != '}' {
		return s.syntaxError()
	}
	s.at++
	if s.depth--; !s.end() || !s.isUTF8() {
		return s.syntaxError()
	}
	if !s.areDistinct(0) {
		return &RuleError{Rule: ErrTwice, Path: "$"}
	}
	return nil
}

// topName passes the name of a member of the outermost object, with the rules for names.
func (s *scanner) topName(seen *uint64) (name []byte, rule error, ok bool) { //nolint:revive // the rule is a finding, not a failure
	begin := s.at
	if s.at == len(s.data) || s.data[s.at] != '"' {
		return nil, nil, false
	}
	s.rules = true
	escaped, ok := s.text()
	s.rules = false
	if !ok {
		return nil, s.err, false
	}
	n := s.nameOf(begin, s.at, escaped)
	if !s.isNew(n, 0, seen) {
		s.fail(s.at, ErrTwice)
		return nil, ErrTwice, false
	}
	return s.spelled(n), nil, true
}

// Elements calls yield for each element of a JSON array until it returns false. The elements are syntactically
// correct; nothing else is known of them. The error is ErrNotArray, or a *SyntaxError for a text that is not JSON in
// UTF-8; elements that precede the error were yielded.
func Elements(text []byte, yield func(value []byte) bool) error {
	s := scan(text, maxArrayDepth, false)
	defer s.release()
	if s.peek() != '[' {
		return s.notA(ErrNotArray)
	}
	s.at++
	s.depth++
	for c := s.peek(); c != ']'; {
		begin := s.at
		if !s.value() {
			return s.syntaxError()
		}
		if !yield(text[begin:s.at]) {
			return nil
		}
		if c = s.peek(); c != ',' {
			break
		}
		s.at++
		s.peek()
	}
	if s.peek() != ']' {
		return s.syntaxError()
	}
	s.at++
	if s.depth--; !s.end() || !s.isUTF8() {
		return s.syntaxError()
	}
	return nil
}

// notA tells a text that is another kind of JSON value from one that is not JSON.
func (s *scanner) notA(kind error) error {
	if !s.value() || !s.end() || !s.isUTF8() {
		return s.syntaxError()
	}
	if errors.Is(kind, ErrSyntax) {
		return &RuleError{Rule: kind}
	}
	return kind
}

func (s *scanner) isUTF8() bool { return s.high&highBits == 0 || utf8.Valid(s.data) }

// syntaxError finds the words for a text that the scanner did not accept.
func (s *scanner) syntaxError() error {
	if errors.Is(s.err, ErrDepth) {
		return locate(s.data, s.errAt, fmt.Sprintf("nested more than %d deep", s.maxDepth))
	}
	var value json.RawMessage
	err := json.Unmarshal(s.data, &value)
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(s.data)) == 0:
		return locate(s.data, len(s.data), "empty, want JSON")
	case errors.As(err, &syntax):
		return locate(s.data, max(int(syntax.Offset)-1, 0), syntax.Error())
	case err != nil:
		return locate(s.data, 0, err.Error())
	default:
		return locate(s.data, invalidUTF8(s.data), "invalid UTF-8")
	}
}

func locate(text []byte, offset int, reason string) *SyntaxError {
	before := text[:min(offset, len(text))]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[lineStart:]) + 1,
		Reason: reason,
	}
}

// invalidUTF8 returns the position of the first byte that is not UTF-8, or the text's length.
func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// Kind returns the first byte of a value from Members or Elements: {, [, ", t, f, n, - or a digit.
func Kind(value []byte) byte { return value[0] }

// IsNull reports whether a value from Members or Elements is null.
func IsNull(value []byte) bool { return Kind(value) == 'n' }

// Text returns the text of a string from Members or Elements. The error is ErrNotString, ErrNUL or ErrSurrogate.
func Text(value []byte) (string, error) {
	if Kind(value) != '"' {
		return "", ErrNotString
	}
	quoted := value[1 : len(value)-1]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted), nil
	}
	s := scan(value, 0, true)
	defer s.release()
	if _, ok := s.text(); !ok {
		return "", s.err
	}
	return string(appendUnescaped(nil, quoted)), nil
}
