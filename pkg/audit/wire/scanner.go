package wire

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner passes over a JSON text once. Its methods return false if they fail.
type scanner struct {
	data  []byte
	at    int
	depth int
	// maxDepth bounds nested objects and arrays.
	maxDepth int
	// rules are checked, not the syntax alone: distinct names, no NUL, no unpaired surrogate, the range of numbers.
	rules bool
	// growth is how many bytes longer the canonical form is than the text read so far. It is right with rules only.
	growth int
	// high has the highest bit of a byte set where a string may not be ASCII.
	high uint64
	// names of the objects that are open, the innermost one's last.
	names []name
	// unescaped holds the names that have escapes.
	unescaped []byte

	// wanted is a name in the outermost object, found its value. escapes tells of a string with an escape.
	wanted  string
	found   []byte
	escapes bool
	// err says why a method returned false, nil for wrong syntax, and errAt where.
	err   error
	errAt int
}

// scanners are reused for their buffers of names.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// scan returns a scanner of a text for release.
func scan(text []byte, maxDepth int, rules bool) *scanner {
	s := scanners.Get().(*scanner) //nolint:forcetypeassert // the pool holds nothing else
	s.data, s.maxDepth, s.rules = text, maxDepth, rules
	return s
}

// release gives s back, without references to the caller's text, unless its buffers have become large.
func (s *scanner) release() {
	const many = 1024
	if cap(s.names) > many || cap(s.unescaped) > many {
		return
	}
	*s = scanner{names: s.names[:0], unescaped: s.unescaped[:0]}
	scanners.Put(s)
}

func (s *scanner) fail(at int, err error) bool {
	s.err, s.errAt = err, at
	return false
}

// end expects nothing but white space to follow.
func (s *scanner) end() bool { return s.peek() == 0 && s.at == len(s.data) }

// peek passes white space and returns the byte behind it, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) && s.data[s.at] > ' ' {
		return s.data[s.at]
	}
	return s.peekBehindSpace()
}

func (s *scanner) peekBehindSpace() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.growth--
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) value() bool {
	switch c := s.peek(); c {
	case '"':
		_, ok := s.text()
		return ok
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return (c == '-' || isDigit(c)) && s.number()
	}
}

func (s *scanner) literal(want string) bool {
	end := s.at + len(want)
	if end > len(s.data) || string(s.data[s.at:end]) != want {
		return false
	}
	s.at = end
	return true
}

func (s *scanner) object() bool {
	if s.depth++; s.depth > s.maxDepth {
		return s.fail(s.at, ErrDepth)
	}
	first := len(s.names)
	s.at++
	c := s.peek()
	if c == '}' {
		s.at++
		s.depth--
		return true
	}
	seen := uint64(0)
	for {
		if c != '"' || !s.member(first, &seen) {
			return false
		}
		switch s.peek() {
		case ',':
			s.at++
			c = s.peek()
		case '}':
			s.at++
			s.depth--
			if !s.areDistinct(first) {
				return s.fail(s.at-1, ErrTwice)
			}
			s.names = s.names[:first]
			return true
		default:
			return false
		}
	}
}

// member passes a name and its value; the object's names begin at first.
func (s *scanner) member(first int, seen *uint64) bool {
	begin := s.at
	escaped, ok := s.text()
	if !ok {
		return false
	}
	wanted := false
	if s.rules {
		n := s.nameOf(begin, s.at, escaped)
		if !s.isNew(n, first, seen) {
			return s.fail(s.at, ErrTwice)
		}
		wanted = s.depth == 1 && string(s.spelled(n)) == s.wanted
	}
	if s.peek() != ':' {
		return false
	}
	s.at++
	if !wanted {
		return s.value()
	}
	s.peek()
	begin = s.at
	ok = s.value()
	s.found = s.data[begin:s.at]
	return ok
}

func (s *scanner) array() bool {
	if s.depth++; s.depth > s.maxDepth {
		return s.fail(s.at, ErrDepth)
	}
	s.at++
	if s.peek() == ']' {
		s.at++
		s.depth--
		return true
	}
	for {
		if !s.value() {
			return false
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
}

// Eight bytes are looked at together: the highest bit of a byte says that it
// is, or may be, one that ends or breaks a string.
const (
	ones     = 0x0101010101010101
	highBits = 0x80 * ones
)

// stops marks the quotes, backslashes and control characters among eight
// bytes. Only marks above the lowest one may be wrong.
func stops(eight uint64) uint64 {
	// A quote is the only byte from ' ' that falls below '!' when 2 is flipped.
	quoteOrControl := (eight ^ 0x02*ones) - 0x21*ones
	backslash := (eight ^ '\\'*ones) - ones
	return (quoteOrControl | backslash) & ^eight & highBits
}

// text passes a string and reports whether it has escapes.
func (s *scanner) text() (escaped, ok bool) {
	data, i, high := s.data, s.at+1, uint64(0)
	for {
		for ; i+8 <= len(data); i += 8 {
			eight := binary.LittleEndian.Uint64(data[i:])
			high |= eight
			if mark := stops(eight); mark != 0 {
				i += bits.TrailingZeros64(mark) / 8
				break
			}
		}
		if i >= len(data) {
			return false, false
		}
		switch c := data[i]; {
		case c == '"':
			s.high |= high
			s.at = i + 1
			return escaped, true
		case c == '\\':
			escaped, s.escapes = true, true
			size := s.escape(i)
			if size == 0 {
				return false, false
			}
			i += size
		case c < ' ':
			return false, false
		default: // near the end of the data, or marked because of its neighbor
			high |= uint64(c)
			i++
		}
	}
}

// escape returns the size of the escape at i, 0 where it is not allowed.
func (s *scanner) escape(i int) int {
	const short = 2
	if i+1 >= len(s.data) {
		return 0
	}
	switch s.data[i+1] {
	case '"', '\\':
		return short
	case '/':
		s.growth--
		return short
	case 'b', 'f', 'n', 'r', 't':
		s.growth += 4 // the canonical form has one spelling for all control characters
		return short
	case 'u':
		return s.unicode(i)
	default:
		return 0
	}
}

// unicode returns the size of \uXXXX at i, or of the two of a surrogate pair.
func (s *scanner) unicode(i int) int {
	const single, pair = 6, 12
	r := hex4(s.data, i)
	switch {
	case r < 0:
		return 0
	case !s.rules:
		return single
	case r == 0:
		s.fail(i, ErrNUL)
		return 0
	case r < ' ':
		return single
	case r == '"', r == '\\':
		s.growth -= single - 2
		return single
	case !utf16.IsSurrogate(r):
		s.growth -= single - utf8.RuneLen(r)
		return single
	}
	if low := hex4(s.data, i+single); low >= 0 && utf16.DecodeRune(r, low) != utf8.RuneError {
		s.growth -= pair - 4
		return pair
	}
	s.fail(i, ErrSurrogate)
	return 0
}

// hex4 reads \uXXXX at i, -1 where there is something else.
func hex4(data []byte, i int) rune {
	if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
		return -1
	}
	r := rune(0)
	for _, c := range data[i+2 : i+6] {
		switch {
		case isDigit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func isDigit(c byte) bool { return c-'0' <= 9 }
