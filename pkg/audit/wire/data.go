package wire

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// The bounds that DataStorage sets.
const (
	// MaxBytes bounds the text, and its canonical form.
	MaxBytes = 1 << 20
	// MaxDepth bounds nested objects and arrays: 64, less the event itself.
	MaxDepth = 63
)

// What is wrong with a text, worded to follow the field's name.
var (
	ErrSyntax    = errors.New("must be a JSON object")
	ErrUTF8      = errors.New("must be valid UTF-8")
	ErrNUL       = errors.New("must not contain a NUL character")
	ErrSurrogate = errors.New("must not contain an unpaired surrogate escape (\\ud800 to \\udfff)")
	ErrTwice     = errors.New("must not give a name twice in one object")
	ErrNumber    = errors.New("must not contain a number of more than 400 digits or out of the range of a double")
	ErrDepth     = errors.New("must not nest objects and arrays more than 63 deep")
	ErrSize      = errors.New("must not be larger than 1048576 bytes")
	ErrCanonical = errors.New("must not be larger than 1048576 bytes in canonical form, where a line feed takes 6")
)

// Member is a value of the outermost object; it is empty where there is none.
type Member []byte

// Text returns what a string value says; false where it is no string.
func (m Member) Text() (string, bool) {
	var text string
	if len(m) == 0 || m[0] != '"' || json.Unmarshal(m, &text) != nil {
		return "", false
	}
	return text, true
}

// Is reports whether the value is the string that says want, which needs no escapes.
func (m Member) Is(want string) bool {
	if len(m) == len(want)+2 && m[0] == '"' && string(m[1:len(m)-1]) == want {
		return true
	}
	text, ok := m.Text()
	return ok && text == want
}

// Check returns nil if data may be an event's. It also returns the member
// called named of the outermost object, as it stands in data.
func Check(data []byte, named string) (Member, error) {
	if len(data) > MaxBytes {
		return nil, ErrSize
	}
	s := scanners.Get().(*scanner) //nolint:forcetypeassert // the pool holds nothing else
	defer s.release()
	s.data, s.wanted = data, named
	switch {
	case s.peek() != '{' || !s.object():
		if s.err == nil {
			return nil, ErrSyntax
		}
		return nil, s.err
	case s.peek() != 0 || s.at != len(data):
		return nil, ErrSyntax
	case s.high&highBits != 0 && !utf8.Valid(data):
		return nil, ErrUTF8
	case len(data)+s.growth > MaxBytes:
		return nil, ErrCanonical
	default:
		return s.found, nil
	}
}
