package strictjson

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The range of numbers follows IEEE 754 double precision (RFC 7493, section
// 2.2); their digits are kept, also where a double would round them.
const (
	maxDigits    = 400
	maxExponent  = 400
	maxMagnitude = 309
	minMagnitude = -324
)

// ErrTooLarge means that a canonical form is longer than its limit.
var ErrTooLarge = errors.New("too large")

// ContentError says what a value may not hold, and where.
type ContentError struct {
	// Path of names and positions, as in $.target.labels[3].
	Path string
	Err  error
}

func (e *ContentError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *ContentError) Unwrap() error { return e.Err }

// Canonical returns the one form of a value that does not depend on the order
// of its members, its white space, its escapes or the spelling of its numbers:
// members in the byte order of their names, no white space, as few escapes as
// JSON allows, numbers as plain decimals. Two values have the same form if and
// only if they mean the same. It is a *ContentError for a value that must not
// be kept, and wraps ErrTooLarge when the form takes more than limit bytes.
func Canonical(value []byte, limit int) ([]byte, error) {
	c := canonical{text: value, out: make([]byte, 0, min(len(value), limit)), limit: limit}
	if err := c.value(); err != nil {
		err.Path = "$" + err.Path
		return nil, err
	}
	return c.out, nil
}

// canonical reads text at i and appends to out.
type canonical struct {
	text  []byte
	i     int
	out   []byte
	limit int
}

func (c *canonical) value() *ContentError {
	c.i = skipSpace(c.text, c.i)
	var err *ContentError
	switch c.text[c.i] {
	case '{':
		err = c.object()
	case '[':
		err = c.array()
	case '"':
		var text string
		if text, err = c.string(); err == nil {
			c.out = appendString(c.out, text)
		}
	case 't', 'f', 'n':
		end := scalarEnd(c.text, c.i)
		c.out = append(c.out, c.text[c.i:end]...)
		c.i = end
	default:
		err = c.number()
	}
	if err == nil && len(c.out) > c.limit {
		err = &ContentError{Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.limit)}
	}
	return err
}

type member struct {
	name       string
	start, end int
}

func (c *canonical) object() *ContentError {
	begin := len(c.out)
	c.out = append(c.out, '{')
	var members []member
	sorted := true
	for c.i = skipSpace(c.text, c.i+1); c.text[c.i] != '}'; {
		name, err := c.string()
		if err != nil {
			return err
		}
		if n := len(members); n > 0 {
			c.out = append(c.out, ',')
			sorted = sorted && members[n-1].name < name
		}
		m := member{name: name, start: len(c.out)}
		c.out = append(appendString(c.out, name), ':')
		c.i = skipSpace(c.text, c.i) + 1 // the colon
		if err := c.value(); err != nil {
			err.Path = "." + Shorten(name) + err.Path
			return err
		}
		m.end = len(c.out)
		members = append(members, m)
		c.next()
	}
	c.i++
	if !sorted {
		if err := c.sort(begin, members); err != nil {
			return err
		}
	}
	c.out = append(c.out, '}')
	return nil
}

// sort rewrites the members of the object that begins at begin by their names.
func (c *canonical) sort(begin int, members []member) *ContentError {
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	old := slices.Clone(c.out[begin:])
	c.out = append(c.out[:begin], '{')
	for n, m := range members {
		if n > 0 {
			if members[n-1].name == m.name {
				return &ContentError{Err: fmt.Errorf("name %q is given twice", Shorten(m.name))}
			}
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, old[m.start-begin:m.end-begin]...)
	}
	return nil
}

func (c *canonical) array() *ContentError {
	c.out = append(c.out, '[')
	c.i = skipSpace(c.text, c.i+1)
	for n := 0; c.text[c.i] != ']'; n++ {
		if n > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.value(); err != nil {
			err.Path = "[" + strconv.Itoa(n) + "]" + err.Path
			return err
		}
		c.next()
	}
	c.i++
	c.out = append(c.out, ']')
	return nil
}

// next goes on behind a member or an element.
func (c *canonical) next() {
	if c.i = skipSpace(c.text, c.i); c.text[c.i] == ',' {
		c.i = skipSpace(c.text, c.i+1)
	}
}

func (c *canonical) string() (string, *ContentError) {
	end := stringEnd(c.text, c.i)
	text, err := unquote(c.text[c.i+1 : end-1])
	if err != nil {
		return "", &ContentError{Err: err}
	}
	c.i = end
	return text, nil
}

func appendString(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(text) {
		switch b := text[i]; {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b >= ' ':
			out = append(out, b)
		default:
			out = append(out, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
		}
	}
	return append(out, '"')
}

func (c *canonical) number() *ContentError {
	end := scalarEnd(c.text, c.i)
	literal := string(c.text[c.i:end])
	c.i = end
	plain, err := plainNumber(literal)
	if err != nil {
		return &ContentError{Err: fmt.Errorf("number %s: %w", Shorten(literal), err)}
	}
	c.out = append(c.out, plain...)
	return nil
}

// plainNumber spells a JSON number as a decimal without exponent and without
// zeros that say nothing.
func plainNumber(literal string) (string, error) {
	unsigned, negative := strings.CutPrefix(literal, "-")
	mantissa, exponentText := unsigned, ""
	if e := strings.IndexAny(unsigned, "eE"); e >= 0 {
		mantissa, exponentText = unsigned[:e], unsigned[e+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0", nil
	}
	exponent := 0
	if exponentText != "" {
		parsed, err := strconv.Atoi(exponentText)
		if err != nil || parsed > maxExponent || parsed < -maxExponent {
			return "", errors.New("out of the range of a double")
		}
		exponent = parsed
	}
	exponent -= len(fraction)
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	point := len(significant) + exponent // digits in front of the decimal point
	switch {
	case len(significant) > maxDigits:
		return "", fmt.Errorf("more than %d digits", maxDigits)
	case point > maxMagnitude || point < minMagnitude:
		return "", errors.New("out of the range of a double")
	}
	sign := ""
	if negative {
		sign = "-"
	}
	switch {
	case exponent >= 0:
		return sign + significant + strings.Repeat("0", exponent), nil
	case point > 0:
		return sign + significant[:point] + "." + significant[point:], nil
	default:
		return sign + "0." + strings.Repeat("0", -point) + significant, nil
	}
}
