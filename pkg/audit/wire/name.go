package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// name is a member's name.
type name struct {
	// sum differs for most names that differ.
	sum uint64
	// start and end in the data or, where the name has escapes, less the size of
	// the data, in the scanner's unescaped.
	start, end int32
}

// few names are compared as they come; more are sorted at the end.
const few = 24

// nameOf makes the name of the string that stands from begin to end, quotes included.
func (s *scanner) nameOf(begin, end int, escaped bool) name {
	if !escaped {
		begin++
		end--
		return name{sum: sum(s.data, begin, end), start: int32(begin), end: int32(end)} //nolint:gosec // MaxBytes at most
	}
	quoted := s.data[begin+1 : end-1]
	begin = len(s.unescaped)
	s.unescaped = appendUnescaped(s.unescaped, quoted)
	end = len(s.unescaped)
	n := name{sum: sum(s.unescaped, begin, end)}
	n.start, n.end = int32(len(s.data)+begin), int32(len(s.data)+end) //nolint:gosec // twice MaxBytes at most
	return n
}

func (s *scanner) spelled(n name) []byte {
	if own := len(s.data); int(n.start) >= own {
		return s.unescaped[int(n.start)-own : int(n.end)-own]
	}
	return s.data[n.start:n.end]
}

// sum mixes the ends and the length of the name from begin to end: quick, and
// good enough for names that people give. Where it is equal the names
// themselves are compared.
func sum(text []byte, begin, end int) uint64 {
	const odd = 0x9e3779b97f4a7c15
	head, tail, size := uint64(0), uint64(0), end-begin
	switch {
	case size >= 8:
		head, tail = binary.LittleEndian.Uint64(text[begin:]), binary.LittleEndian.Uint64(text[end-8:])
	case begin+8 <= len(text):
		head = binary.LittleEndian.Uint64(text[begin:]) & (1<<(8*size) - 1)
	default:
		for i, c := range text[begin:end] {
			head |= uint64(c) << (8 * i) // in the order of LittleEndian
		}
	}
	return ((head*odd)^tail)*odd + uint64(size)*odd //nolint:gosec // a size
}

// isNew reports whether n differs from the names from first on, and adds it.
// seen has a bit set for each of these names.
func (s *scanner) isNew(n name, first int, seen *uint64) bool {
	const top = 64 - 6
	if bit := uint64(1) << (n.sum >> top); *seen&bit == 0 {
		*seen |= bit
	} else if names := s.names[first:]; len(names) < few {
		for _, m := range names {
			if n.sum == m.sum && bytes.Equal(s.spelled(n), s.spelled(m)) {
				return false
			}
		}
	}
	s.names = append(s.names, n)
	return true
}

// areDistinct compares the names from first on that were too many for isNew,
// in n log n comparisons whatever the names are.
func (s *scanner) areDistinct(first int) bool {
	names := s.names[first:]
	if len(names) <= few {
		return true
	}
	compare := func(a, b name) int {
		return cmp.Or(cmp.Compare(a.sum, b.sum), bytes.Compare(s.spelled(a), s.spelled(b)))
	}
	slices.SortFunc(names, compare)
	for i := 1; i < len(names); i++ {
		if compare(names[i-1], names[i]) == 0 {
			return false
		}
	}
	return true
}
