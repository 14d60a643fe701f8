package wire

import "bytes"

// The range of numbers follows IEEE 754 double precision (RFC 7493, section 2.2). All digits are preserved, including
// those that a double would round away.
const (
	maxDigits    = 400
	maxExponent  = 400
	maxMagnitude = 309
	minMagnitude = -324
)

// usual is how many digits of a number need no closer look.
const usual = 300

// number passes a number.
func (s *scanner) number() bool {
	begin, i := s.at, s.at
	if s.data[i] == '-' {
		i++
	}
	whole := i
	i = s.digits(i)
	switch {
	case i == whole, s.data[whole] == '0' && i > whole+1:
		return false
	case i < len(s.data) && (s.data[i] == '.' || s.data[i]|0x20 == 'e'), i-whole > usual, s.data[whole] == '0':
		return s.decimal(begin, i)
	}
	s.at = i
	return true
}

// digits returns the position behind the digits at i.
func (s *scanner) digits(i int) int {
	for i < len(s.data) && isDigit(s.data[i]) {
		i++
	}
	return i
}

// decimal passes the number that begins at begin and whose whole digits end at end, with the fraction and the
// exponent that may follow.
func (s *scanner) decimal(begin, end int) bool {
	i := end
	if i < len(s.data) && s.data[i] == '.' {
		if i = s.digits(end + 1); i == end+1 {
			return false
		}
	}
	exponent := i < len(s.data) && s.data[i]|0x20 == 'e'
	if exponent {
		i++
		if i < len(s.data) && (s.data[i] == '-' || s.data[i] == '+') {
			i++
		}
		digits := i
		if i = s.digits(i); i == digits {
			return false
		}
	}
	isPlain := !exponent && i-begin < usual && s.data[i-1] != '0'
	if s.rules && !isPlain {
		n, ok := parseNumber(s.data[begin:i])
		if !ok {
			return s.fail(begin, ErrNumber)
		}
		s.growth += n.size() - (i - begin)
	}
	s.at = i
	return true
}

// number is a JSON number, taken apart so that it can be written without exponent and without redundant zeros.
type number struct {
	negative bool
	// mantissa from its first to its last digit that is not zero; it may contain the decimal point. Empty for zero.
	mantissa []byte
	// count is how many digits that is, point how many of them precede the decimal point in the plain form: more than
	// count for trailing zeros, negative or zero for leading ones.
	count, point int
}

// parseNumber takes a literal apart; false if it has too many digits or is out of range.
func parseNumber(literal []byte) (number, bool) {
	var n number
	rest := literal
	if rest[0] == '-' {
		n.negative = true
		rest = rest[1:]
	}
	exponent := 0
	if e := bytes.IndexAny(rest, "eE"); e >= 0 {
		exponent = parseExponent(rest[e+1:])
		rest = rest[:e]
	}
	n.mantissa = bytes.TrimLeft(rest, "0.")
	if len(n.mantissa) == 0 {
		return number{}, true
	}
	if exponent > maxExponent || exponent < -maxExponent {
		return number{}, false
	}
	if point := bytes.IndexByte(rest, '.'); point >= 0 {
		exponent -= len(rest) - point - 1
	}
	digits := len(n.mantissa)
	if bytes.IndexByte(n.mantissa, '.') >= 0 {
		digits--
	}
	n.point = digits + exponent
	n.mantissa = bytes.TrimRight(n.mantissa, "0.")
	n.count = len(n.mantissa)
	if bytes.IndexByte(n.mantissa, '.') >= 0 {
		n.count--
	}
	return n, n.count <= maxDigits && n.point <= maxMagnitude && n.point >= minMagnitude
}

// parseExponent reads an exponent; one that is far out of range is cut, but stays out of range.
func parseExponent(text []byte) int {
	negative := text[0] == '-'
	value := 0
	for _, c := range bytes.TrimLeft(text, "+-") {
		value = min(value*10+int(c-'0'), maxExponent+1)
	}
	if negative {
		return -value
	}
	return value
}

// size is the length of the plain form.
func (n *number) size() int {
	if n.count == 0 {
		return len("0")
	}
	size := 0
	if n.negative {
		size = len("-")
	}
	switch {
	case n.point >= n.count:
		return size + n.point
	case n.point > 0:
		return size + n.count + len(".")
	default:
		return size + len("0.") - n.point + n.count
	}
}

// append appends the plain form.
func (n *number) append(out []byte) []byte {
	if n.count == 0 {
		return append(out, '0')
	}
	if n.negative {
		out = append(out, '-')
	}
	written := 0
	if n.point <= 0 {
		out = append(out, "0."...)
		for range -n.point {
			out = append(out, '0')
		}
		written = -1 // the point stands already
	}
	for _, c := range n.mantissa {
		if c == '.' {
			continue
		}
		if written >= 0 {
			if written == n.point {
				out = append(out, '.')
			}
			written++
		}
		out = append(out, c)
	}
	for range n.point - n.count {
		out = append(out, '0')
	}
	return out
}
