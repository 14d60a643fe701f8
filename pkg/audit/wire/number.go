package wire

// The range of numbers follows IEEE 754 double precision (RFC 7493, section
// 2.2); DataStorage keeps their digits, also where a double would round them.
const (
	maxDigits    = 400
	maxExponent  = 400
	maxMagnitude = 309
	minMagnitude = -324
)

// number passes a number.
func (s *scanner) number() bool {
	const usual = 300 // digits of a whole number that need no closer look
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
		return s.decimal(begin, whole, i)
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

// decimal passes the number that begins at begin, whose whole digits stand
// from whole to end, and what may follow them: a fraction, an exponent.
func (s *scanner) decimal(begin, whole, end int) bool {
	i, fraction := end, 0
	if i < len(s.data) && s.data[i] == '.' {
		i = s.digits(end + 1)
		if fraction = i - end - 1; fraction == 0 {
			return false
		}
	}
	mantissa := s.data[whole:i]
	exponent, i, ok := s.exponent(i)
	if !ok {
		return false
	}
	s.at = i
	plain, ok := plainLength(mantissa, fraction, exponent, s.data[begin] == '-')
	if !ok {
		return s.fail(ErrNumber)
	}
	s.growth += plain - (i - begin)
	return true
}

// exponent reads the exponent at i, if there is one. One that is far too large
// is cut, still too large.
func (s *scanner) exponent(i int) (value, end int, ok bool) {
	if i == len(s.data) || s.data[i]|0x20 != 'e' {
		return 0, i, true
	}
	i++
	negative := i < len(s.data) && s.data[i] == '-'
	if negative || i < len(s.data) && s.data[i] == '+' {
		i++
	}
	end = s.digits(i)
	for _, c := range s.data[i:end] {
		value = min(value*10+int(c-'0'), maxExponent+1)
	}
	if negative {
		value = -value
	}
	return value, end, end > i
}

// plainLength is the length of a number that is written without exponent and
// without zeros that say nothing; false where it is out of range.
func plainLength(mantissa []byte, fraction, exponent int, negative bool) (length int, ok bool) {
	significant, trailing := 0, 0 // digits from the first that is not zero; zeros at the end
	for _, c := range mantissa {
		switch c {
		case '.':
		case '0':
			trailing++
			if significant > 0 {
				significant++
			}
		default:
			trailing = 0
			significant++
		}
	}
	if significant == 0 {
		return 1, true
	}
	if exponent > maxExponent || exponent < -maxExponent {
		return 0, false
	}
	exponent += trailing - fraction
	significant -= trailing
	point := significant + exponent // digits in front of the decimal point
	if significant > maxDigits || point > maxMagnitude || point < minMagnitude {
		return 0, false
	}
	if negative {
		length = 1
	}
	switch {
	case exponent >= 0:
		return length + point, true
	case point > 0:
		return length + significant + 1, true
	default:
		return length + len("0.") - point + significant, true
	}
}
