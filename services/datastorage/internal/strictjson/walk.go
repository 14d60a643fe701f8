package strictjson

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// What a text may not hold.
var (
	ErrNotText   = errors.New("want a string")
	ErrNUL       = errors.New("holds a NUL character (\\u0000)")
	ErrSurrogate = errors.New("holds an unpaired surrogate escape (\\ud800 to \\udfff)")
)

// Kind returns the first byte of a value: '{', '[', '"', 't', 'f', 'n', '-' or a digit.
func Kind(value []byte) byte {
	return value[skipSpace(value, 0)]
}

// IsNull reports whether the value is null.
func IsNull(value []byte) bool { return Kind(value) == 'n' }

// Members calls yield for each member of an object, in the order of the text.
// It stops at the first error, also when a name comes twice.
func Members(object []byte, yield func(name string, value []byte) error) error {
	i := skipSpace(object, 0)
	if object[i] != '{' {
		return errors.New("want an object")
	}
	seen := map[string]struct{}{}
	for i = skipSpace(object, i+1); object[i] != '}'; {
		end := stringEnd(object, i)
		name, err := Text(object[i:end])
		if err != nil {
			return fmt.Errorf("name %s: %w", Shorten(string(object[i:end])), err)
		}
		if _, twice := seen[name]; twice {
			return fmt.Errorf("name %q is given twice", Shorten(name))
		}
		seen[name] = struct{}{}
		i = skipSpace(object, end)
		i = skipSpace(object, i+1) // the colon
		end = valueEnd(object, i)
		if err := yield(name, object[i:end]); err != nil {
			return err
		}
		if i = skipSpace(object, end); object[i] == ',' {
			i = skipSpace(object, i+1)
		}
	}
	return nil
}

// Elements calls yield for each element of an array until it returns false.
func Elements(array []byte, yield func(value []byte) bool) {
	i := skipSpace(array, 0)
	for i = skipSpace(array, i+1); array[i] != ']'; {
		end := valueEnd(array, i)
		if !yield(array[i:end]) {
			return
		}
		if i = skipSpace(array, end); array[i] == ',' {
			i = skipSpace(array, i+1)
		}
	}
}

// Text returns the text of a string value.
func Text(value []byte) (string, error) {
	i := skipSpace(value, 0)
	if value[i] != '"' {
		return "", ErrNotText
	}
	end := stringEnd(value, i)
	return unquote(value[i+1 : end-1])
}

// unquote takes what stands between the quotes.
func unquote(quoted []byte) (string, error) {
	escape := indexEscape(quoted)
	if escape < 0 {
		return string(quoted), nil
	}
	out := make([]byte, 0, len(quoted))
	for i := 0; i < len(quoted); {
		if quoted[i] != '\\' {
			out = append(out, quoted[i])
			i++
			continue
		}
		switch c := quoted[i+1]; c {
		case 'u':
			r, size, err := unicodeEscape(quoted[i:])
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			i += size
			continue
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out), nil
}

// unicodeEscape reads \uXXXX, or the two of a surrogate pair.
func unicodeEscape(escaped []byte) (r rune, size int, err error) {
	const single, pair = 6, 12
	first := hex4(escaped[2:single])
	if first == 0 {
		return 0, 0, ErrNUL
	}
	if !utf16.IsSurrogate(first) {
		return first, single, nil
	}
	if len(escaped) >= pair && escaped[single] == '\\' && escaped[single+1] == 'u' {
		if r := utf16.DecodeRune(first, hex4(escaped[single+2:pair])); r != utf8.RuneError {
			return r, pair, nil
		}
	}
	return 0, 0, ErrSurrogate
}

func hex4(digits []byte) rune {
	// Check made sure that these are four hex digits.
	value, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(value)
}

func indexEscape(quoted []byte) int {
	for i, c := range quoted {
		if c == '\\' {
			return i
		}
	}
	return -1
}

func skipSpace(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// valueEnd returns the position behind the value that starts at i.
func valueEnd(text []byte, i int) int {
	switch text[i] {
	case '"':
		return stringEnd(text, i)
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch text[i] {
			case '"':
				i = stringEnd(text, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	default:
		return scalarEnd(text, i)
	}
}

// scalarEnd returns the position behind a number or a literal.
func scalarEnd(text []byte, i int) int {
	for i < len(text) && !strings.ContainsRune(" \t\n\r,]}", rune(text[i])) {
		i++
	}
	return i
}

// Shorten cuts a client's text for a message.
func Shorten(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
